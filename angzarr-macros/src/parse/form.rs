//! What a function looks like under each marker.
//!
//! In: nothing. Out: the forms that `signature` compares the user's functions with, and why they are as they are. Never: what
//! the user wrote.

/// What a marked function looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// With its article.
    pub(super) what: &'static str,
    pub(super) receiver: Receiver,
    pub(super) own: Own,
    /// The message that it takes; `None` if it is called without any.
    pub(super) takes: Option<Takes>,
    pub(super) context: Option<&'static str>,
    pub(super) returns: Returns,
    /// Why it cannot be `async`; `None` if it can.
    pub(super) not_async: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    None,
    Shared,
    Mutable,
}

/// Why it takes `self` as it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Why at all.
    pub(super) needed: &'static str,
    /// Why by this reference and not by value.
    pub(super) lent: &'static str,
    /// Why not by `&mut`.
    pub(super) not_mutable: &'static str,
}

/// The message that a function takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    /// What it is called.
    pub(super) noun: &'static str,
    /// How the parameter is called in examples, and a type for it.
    pub(super) example: (&'static str, &'static str),
    /// Where the parameter has one type always: what it is for.
    pub(super) always: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// A `Result` with this error; where nothing better is known, of this.
    Fallible {
        error: &'static str,
        example: &'static str,
        why: &'static str,
    },
    /// Whatever is in the example.
    Plain {
        example: &'static str,
        why: &'static str,
    },
    Nothing,
}

const PURE: &str = "the framework runs it again with fresh state after a conflict, and replays must give the same answer; \
                    it waits for nothing";

const DECIDES: Own = Own {
    needed: "it decides on the state, so it needs the state",
    lent: "a handler decides and changes nothing: its events change the state, in `#[apply]`",
    not_mutable: "a handler decides and changes nothing: its events change the state, in `#[apply]`",
};

const COMPONENT: Own = Own {
    needed: "it is called on the component's instance",
    lent: "one instance serves many events at once, so it is shared",
    not_mutable: "one instance serves many events at once, so it is shared",
};

const EVENT: Takes = Takes { noun: "event", example: ("e", "SomeEvent"), always: None };
const REJECTED: Takes = Takes { noun: "rejected command", example: ("r", "Rejected<SomeCommand>"), always: None };

pub(super) const COMMAND_HANDLER: Form = Form {
    what: "a command handler",
    receiver: Receiver::Shared,
    own: DECIDES,
    takes: Some(Takes { noun: "command", example: ("cmd", "SomeCommand"), always: None }),
    context: Some("CommandContext"),
    returns: Returns::Fallible {
        error: "Rejection",
        example: "SomeEvent",
        why: "a handler says what happened (events) or that nothing may happen (a rejection)",
    },
    not_async: Some(PURE),
};

pub(super) const APPLY: Form = Form {
    what: "an `#[apply]`",
    receiver: Receiver::Mutable,
    own: Own {
        needed: "it folds the event into the state, so it needs the state",
        lent: "it folds the event into the state, so it changes the state in place",
        not_mutable: "",
    },
    takes: Some(EVENT),
    context: None,
    returns: Returns::Nothing,
    not_async: Some("folding an event into the state only assigns: it waits for nothing, and runs at every replay"),
};

const UNDOES: &str = "it says what undoes or answers it (events), or what is to be done instead (a revocation)";

pub(super) const REJECTED_HANDLER: Form = Form {
    what: "an aggregate's `#[rejected]`",
    takes: Some(REJECTED),
    returns: Returns::Fallible { error: "Revocation", example: "SomeEvent", why: UNDOES },
    ..COMMAND_HANDLER
};

pub(super) const COMPENSATE_HANDLER: Form = Form {
    what: "a `#[compensate]`",
    takes: Some(Takes {
        noun: "`Compensate`",
        example: ("c", "Compensate"),
        always: Some("the request says which events of the aggregate are to be undone, and why"),
    }),
    returns: Returns::Fallible { error: "Revocation", example: "SomeEvent", why: UNDOES },
    ..COMMAND_HANDLER
};

pub(super) const FACT_HANDLER: Form = Form {
    what: "a `#[fact]`",
    own: Own {
        needed: "what the fact means depends on the state, so it needs the state",
        lent: "it says which events the fact means and changes nothing: they change the state, in `#[apply]`",
        not_mutable: "it says which events the fact means and changes nothing: they change the state, in `#[apply]`",
    },
    takes: Some(Takes { noun: "fact", example: ("f", "SomeFact"), always: None }),
    returns: Returns::Plain { example: "SomeEvent", why: "it says which events of the aggregate the fact means" },
    ..COMMAND_HANDLER
};

pub(super) const SAGA_FUNCTION: Form = Form {
    what: "a saga",
    receiver: Receiver::None,
    own: Own {
        not_mutable: "a saga has no state: it may run anywhere and again; what remembers between events is a process manager",
        ..COMPONENT
    },
    takes: Some(EVENT),
    context: Some("EventContext"),
    returns: Returns::Plain {
        example: "Vec<Command<Target>>",
        why: "a saga is pure: all that it can do is return commands and facts",
    },
    not_async: Some("a saga is pure: one event in, commands out. It may run again after a crash and waits for nothing"),
};

pub(super) const SAGA_HANDLER: Form = Form { what: "a saga's handler", receiver: Receiver::Shared, ..SAGA_FUNCTION };

pub(super) const PROCESS_HANDLER: Form = Form {
    what: "a process manager's handler",
    receiver: Receiver::Shared,
    own: Own {
        needed: "it decides on the process manager's state, so it needs the state",
        lent: "it decides and changes nothing: its own events change the state, in `#[apply]`",
        not_mutable: "it decides and changes nothing: its own events change the state, in `#[apply]`",
    },
    takes: Some(EVENT),
    context: Some("EventContext"),
    returns: Returns::Plain {
        example: "Reaction",
        why: "all that a process manager can do is react: own events, commands and timeouts are said in a `Reaction`",
    },
    not_async: Some(
        "a process manager is pure: it runs again with fresh state after a conflict or a crash, and waits for nothing",
    ),
};

pub(super) const PROCESS_REJECTED: Form =
    Form { what: "a process manager's `#[rejected]`", takes: Some(REJECTED), ..PROCESS_HANDLER };

pub(super) const PROCESS_TIMEOUT: Form = Form { what: "a `#[timeout(…)]`", takes: None, ..PROCESS_HANDLER };

pub(super) const PROJECTOR_HANDLER: Form = Form {
    what: "a projector's handler",
    receiver: Receiver::Shared,
    own: COMPONENT,
    takes: Some(EVENT),
    context: Some("EventContext"),
    returns: Returns::Fallible {
        error: "ProjectionError",
        example: "()",
        why: "an event that could not be projected is tried again, so the handler says whether it could",
    },
    not_async: None,
};

pub(super) const UPCASTER: Form = Form {
    what: "an upcaster",
    receiver: Receiver::None,
    own: COMPONENT,
    takes: Some(Takes { noun: "old event", example: ("old", "OldEvent"), always: None }),
    context: None,
    returns: Returns::Plain { example: "NewEvent", why: "its answer takes the place of the old event" },
    not_async: Some("old events are reshaped whenever they are read: it waits for nothing"),
};
