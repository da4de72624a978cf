//! Subscribers of the same process.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::Transport;

/// Wakes the subscribers of this process.
#[derive(Debug)]
pub struct Local {
    head: watch::Sender<u64>,
    anybody: AtomicBool,
}

impl Local {
    /// A transport within this process.
    pub fn new() -> Self {
        Self { head: watch::Sender::new(0), anybody: AtomicBool::new(false) }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Local {
    fn describe(&self) -> String {
        "local".to_owned()
    }

    fn announce(&self, position: u64) {
        if self.anybody.load(Ordering::Acquire) {
            self.head.send_if_modified(|head| {
                let newer = position > *head;
                *head = position.max(*head);
                newer
            });
        }
    }

    fn listen(&self) -> watch::Receiver<u64> {
        self.anybody.store(true, Ordering::Release);
        self.head.subscribe()
    }
}
