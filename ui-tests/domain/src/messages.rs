//! Commands and events.

/// Opens an account.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Open {
    /// Who it is for.
    #[prost(string, tag = "1")]
    pub owner: String,
}

macro_rules! amounts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            /// How much.
            #[prost(int64, tag = "1")]
            pub amount: i64,
        }
    )+};
}

amounts! {
    /// Puts money in.
    Deposit,
    /// Takes money out.
    Withdraw,
    /// Money was put in.
    Deposited,
    /// Money was taken out.
    Withdrawn,
    /// Keeps goods for somebody.
    Reserve,
    /// Gives them back.
    Release,
    /// The balance went below what the bank likes to see.
    Warned,
    /// How much is in an account.
    Balance,
}

/// An account was opened.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Opened {
    /// Who it is for.
    #[prost(string, tag = "1")]
    pub owner: String,
}

angzarr_runtime::name_messages!("ui.bank":
    Open, Deposit, Withdraw, Opened, Deposited, Withdrawn, Reserve, Release, Warned, Balance);
