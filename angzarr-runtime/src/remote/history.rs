//! What the runtime holds of a stream whose owner is in another process: its history, in the form of today.

use crate::command::event_page;
use crate::declare::State;
use crate::stream::StoredEvent;
use angzarr_proto as proto;

/// The state of a component in another process, as far as it is known here: the events that it is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(super) pages: Vec<proto::EventPage>,
}

impl super::Client {
    /// Folds one event into the history. The framework's own notes are no business of the component.
    pub(crate) fn remember(&self, state: &mut State, event: &StoredEvent) {
        if let Some(history) = state.downcast_mut::<History>()
            && !event.type_name.starts_with("angzarr.")
        {
            history.pages.push(event_page(event));
        }
    }
}
