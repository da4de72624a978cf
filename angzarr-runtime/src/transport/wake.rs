//! Wake-ups of a transport that reaches other processes.
//!
//! In: positions that this process announces, and those that a broker brings. Out: the same to whoever listens here, and
//! to the task that tells the broker. Never: a wait; what cannot be told at once is told together with what follows.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Announcements of one process are told to others this often at most.
pub(super) const COALESCE: Duration = Duration::from_millis(2);

/// What this process has announced and heard.
#[derive(Debug)]
pub(super) struct Wake {
    /// Tells the own messages from those of others.
    me: Uuid,
    head: watch::Sender<u64>,
    announced: watch::Sender<u64>,
    task: OnceLock<AbortHandle>,
}

impl Wake {
    pub(super) fn new() -> Self {
        Self {
            me: Uuid::new_v4(),
            head: watch::Sender::new(0),
            announced: watch::Sender::new(0),
            task: OnceLock::new(),
        }
    }

    pub(super) fn announce(&self, position: u64) {
        // Told even if it is no news: an older position may have become readable only now.
        self.heard(position);
        self.announced.send_modify(|announced| *announced = position.max(*announced));
    }

    /// Somebody has stored events up to here, or may have: 0 for whoever does not know.
    pub(super) fn heard(&self, position: u64) {
        self.head.send_modify(|head| *head = position.max(*head));
    }

    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// What others are to be told.
    pub(super) fn announced(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    /// Starts the task that tells and hears, once, and where there is something that runs tasks.
    pub(super) fn start<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce() -> F) {
        if self.task.get().is_some() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.task.get_or_init(|| runtime.spawn(task()).abort_handle());
        }
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// The message that tells others.
    pub(super) fn message(&self, position: u64) -> String {
        format!("{position} {}", self.me)
    }

    /// Takes a message. What it says is a hint at most, so one that makes no sense wakes as well.
    pub(super) fn take(&self, message: &[u8]) {
        let text = String::from_utf8_lossy(message);
        let (position, from) = text.split_once(' ').unwrap_or((text.as_ref(), ""));
        if from != self.me.to_string() {
            self.heard(position.parse().unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_messages_wake_nobody_and_any_other_does() {
        let (one, other) = (Wake::new(), Wake::new());
        let mut woken = one.listen();
        one.take(one.message(7).as_bytes());
        assert!(!woken.has_changed().unwrap());
        one.take(other.message(7).as_bytes());
        assert_eq!(*woken.borrow_and_update(), 7);
        for message in [other.message(3).as_bytes(), b"\xff", b""] {
            one.take(message);
            assert!(woken.has_changed().unwrap(), "an older position may be news");
            assert_eq!(*woken.borrow_and_update(), 7);
        }
    }
}
