//! Room for encoded events: small payloads share pieces of memory.
//!
//! In: an encoded event. Out: the same bytes, to be cloned for the store and for the receipt. Never: a large payload, whose
//! neighbours it would keep in memory.
//!
//! An event of some bytes that lies by itself costs two allocations, one for the bytes and one for the count of those
//! who hold them, and a store in memory keeps both for ever. In a shared piece it costs a copy of some bytes.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Bytes of one piece: what a kept receipt can keep in memory at most.
const PIECE: usize = 4_096;
/// The largest payload that shares a piece.
const SMALL: usize = 256;

thread_local! {
    /// Each thread fills a piece of its own.
    static ROOM: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(PIECE));
}

/// The same bytes, cheap to clone.
pub(super) fn shared(payload: &Bytes) -> Bytes {
    if payload.is_empty() || payload.len() > SMALL {
        return payload.clone();
    }
    let copy = ROOM.try_with(|room| {
        let mut room = room.try_borrow_mut().ok()?;
        if room.capacity() < payload.len() {
            // Takes the old piece again where nobody holds any of it any more.
            room.reserve(PIECE);
        }
        room.extend_from_slice(payload);
        Some(room.split().freeze())
    });
    // A thread that ends has no room any more.
    copy.ok().flatten().unwrap_or_else(|| payload.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_stay_the_same_whatever_comes_after_them() {
        let payloads: Vec<Bytes> = (0..2_000usize).map(|n| Bytes::from(vec![n as u8; n % 300])).collect();
        let kept: Vec<Bytes> = payloads.iter().map(shared).collect();
        assert_eq!(kept, payloads);
    }

    #[test]
    fn neighbours_share_a_piece_and_large_payloads_do_not() {
        let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![7; SMALL + 1]));
        let (one, two) = (shared(&small), shared(&small));
        assert!(one.as_ptr() != two.as_ptr() && one.as_ptr().addr().abs_diff(two.as_ptr().addr()) < PIECE);
        assert_eq!(shared(&large).as_ptr(), large.as_ptr());
    }
}
