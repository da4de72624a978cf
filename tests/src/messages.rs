//! The messages of the test domain, written by hand.

macro_rules! messages {
    ($package:literal: $($name:ident { $($tag:tt [$($kind:tt)+] $field:ident: $type:ty),* $(,)? })+) => {
        $(
            #[derive(Clone, PartialEq, ::prost::Message)]
            pub struct $name {
                $(#[prost($($kind)+, tag = $tag)] pub $field: $type,)*
            }
        )+
        angzarr_runtime::name_messages!($package: $($name),+);
    };
}

messages! { "test":
    // account: commands
    OpenAccount { "1" [string] owner: String }
    Deposit { "1" [int64] amount: i64 }
    Withdraw { "1" [int64] amount: i64 }
    AddPoints { "1" [int64] points: i64 }
    Freeze {}
    AddTag { "1" [string] tag: String }
    DoNothing {}
    Refuse { "1" [string] how: String }
    Explode {}
    DepositMany { "1" [uint32] count: u32 }
    DepositInParts { "1" [int64] amount: i64, "2" [uint32] parts: u32 }
    Note { "1" [string] text: String }
    NoteOfSize { "1" [uint32] bytes: u32 }
    Stamp {}
    ReachMilestone {}
    SendMoney {
        "1" [bytes = "vec"] to: Vec<u8>,
        "2" [int64] amount: i64,
        "3" [uint32] copies: u32,
        "4" [string] trouble: String,
        "5" [bytes = "vec"] thank: Vec<u8>,
    }
    // account: events
    AccountOpened { "1" [string] owner: String }
    Deposited { "1" [int64] amount: i64, "2" [int64] balance_before: i64, "3" [uint32] events_before: u32 }
    Withdrawn { "1" [int64] amount: i64, "2" [int64] balance_before: i64 }
    PointsAdded { "1" [int64] points: i64 }
    Frozen {}
    TagAdded { "1" [string] tag: String, "2" [int64] expected: i64, "3" [uint32] next: u32 }
    Noted { "1" [string] text: String }
    Stamped { "1" [int64] now: i64, "2" [bytes = "vec"] id: Vec<u8> }
    MilestoneReached { "1" [int64] balance: i64 }
    MoneySent {
        "1" [bytes = "vec"] to: Vec<u8>,
        "2" [int64] amount: i64,
        "3" [uint32] copies: u32,
        "4" [string] trouble: String,
        "5" [bytes = "vec"] thank: Vec<u8>,
    }
    // ledger
    Book { "1" [int64] amount: i64, "2" [bytes = "vec"] thank: Vec<u8>, "3" [bool] refuse: bool }
    Booked { "1" [int64] amount: i64, "2" [uint32] number: u32, "3" [bytes = "vec"] thank: Vec<u8> }
    // notes: states that are no protobuf messages
    Write { "1" [string] text: String }
    Written { "1" [string] text: String }
    // person: events with a past
    NamePerson { "1" [string] first: String, "2" [string] last: String }
    MovePerson { "1" [string] street: String, "2" [string] city: String }
    PersonNamedV1 { "1" [string] name: String }
    PersonNamedV2 { "1" [string] first: String, "2" [string] last: String }
    PersonNamed { "1" [string] first: String, "2" [string] last: String, "3" [string] initials: String }
    AddressChanged { "1" [string] address: String }
    StreetChanged { "1" [string] street: String }
    CityChanged { "1" [string] city: String }
    RumourHeard { "1" [string] text: String, "2" [bool] true_after_all: bool }
    FactLearned { "1" [string] text: String }
    // projections and details
    SeenView { "1" [uint32] sequence: u32, "2" [string] event: String }
    BalanceView { "1" [int64] balance: i64 }
    RefusalDetail { "1" [string] text: String }
    // what nobody handles
    Stranger {}
}
