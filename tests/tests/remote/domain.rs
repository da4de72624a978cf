//! What is here: orders and shelves. What is elsewhere: everything else.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, CommandBookExt as _, CoverExt as _};

macro_rules! messages {
    ($($name:ident { $($tag:tt [$($kind:tt)+] $field:ident: $type:ty),* })+) => {
        $(
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub(crate) struct $name { $(#[prost($($kind)+, tag = $tag)] pub(crate) $field: $type,)* }
        )+
        angzarr_runtime::name_messages!("remote": $($name),+);
    };
}

messages! {
    Place { "1" [uint32] quantity: u32 }
    Placed { "1" [uint32] quantity: u32 }
    Backordered { "1" [string] why: String }
    Take { "1" [uint32] quantity: u32 }
    Taken { "1" [uint32] quantity: u32 }
    Counted { "1" [uint32] quantity: u32 }
    // Only known elsewhere.
    Stow { "1" [uint32] quantity: u32 }
    Stowed { "1" [uint32] quantity: u32 }
    // What `Stowed` was once.
    Packed { "1" [uint32] dozens: u32 }
    View { "1" [uint32] total: u32 }
}

/// Tells what has happened to it.
#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    #[prost(string, repeated, tag = "1")]
    pub(crate) story: Vec<String>,
}

#[aggregate]
impl Order {
    #[handler]
    fn place(&self, c: Place) -> Result<Placed, Rejection> {
        Ok(Placed { quantity: c.quantity })
    }
    #[rejected]
    fn not_taken(&self, r: Rejected<Take>) -> Result<Backordered, Revocation> {
        Ok(Backordered { why: r.reason().to_owned() })
    }
    #[apply]
    fn placed(&mut self, e: Placed) {
        self.story.push(format!("placed {}", e.quantity));
    }
    #[apply]
    fn backordered(&mut self, e: Backordered) {
        self.story.push(e.why);
    }
}

/// Gives ten at a time and no more.
#[aggregate(domain = "shelf")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Shelf {
    #[prost(uint32, tag = "1")]
    pub(crate) taken: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) counted: u32,
}

#[aggregate]
impl Shelf {
    #[handler]
    fn take(&self, c: Take) -> Result<Taken, Rejection> {
        ensure!(c.quantity <= 10, "too_many", "{} at once", c.quantity);
        Ok(Taken { quantity: c.quantity })
    }
    #[apply]
    fn taken(&mut self, e: Taken) {
        self.taken += e.quantity;
    }
    #[apply]
    fn counted(&mut self, e: Counted) {
        self.counted += e.quantity;
    }
}

/// A command for whoever it is.
pub(crate) fn command<M: prost::Message + prost::Name>(domain: &str, root: Uuid, command: &M) -> proto::CommandBook {
    proto::CommandBook::single(proto::Cover::of(domain, root.into_bytes()), command)
}

pub(crate) fn request(book: proto::CommandBook) -> proto::CommandRequest {
    proto::CommandRequest { command: Some(book), ..Default::default() }
}

/// An event of a book; of whatever type it is.
pub(crate) fn event<M: prost::Message + prost::Name>(event: &M) -> proto::EventPage {
    proto::EventPage {
        payload: Some(proto::event_page::Payload::Event(prost_types::Any::pack(event))),
        ..Default::default()
    }
}

pub(crate) fn book(pages: Vec<proto::EventPage>) -> proto::EventBook {
    proto::EventBook { pages, ..Default::default() }
}

/// A fact for a stream.
pub(crate) fn fact<M: prost::Message + prost::Name>(domain: &str, root: Uuid, fact: &M) -> proto::EventBook {
    let cover = Some(proto::Cover::of(domain, root.into_bytes()));
    proto::EventBook { cover, ..book(vec![event(fact)]) }
}

/// The root that a book is about.
pub(crate) fn root_of(book: &proto::EventBook) -> Uuid {
    Uuid::from_bytes(book.cover.as_ref().and_then(|cover| cover.root_bytes()).expect("a root"))
}
