//! The work: accounts that take deposits; each command sees the current balance.

use angzarr_runtime::prelude::*;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Deposit {
    #[prost(int64, tag = "1")]
    pub amount: i64,
}
#[derive(Clone, PartialEq, prost::Message)]
pub struct DepositMany {
    #[prost(uint32, tag = "1")]
    pub count: u32,
}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Deposited {
    #[prost(int64, tag = "1")]
    pub amount: i64,
    #[prost(fixed64, tag = "2")]
    pub balance: u64,
}
angzarr_runtime::name_messages!("bench": Deposit, DepositMany, Deposited);

/// An account, with the snapshots of the default policy.
#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    #[prost(int64, tag = "1")]
    pub balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        ensure!(cmd.amount > 0, "not_positive");
        Ok(Deposited { amount: cmd.amount, balance: (self.balance + cmd.amount).cast_unsigned() })
    }
    #[handler]
    fn deposit_many(&self, cmd: DepositMany) -> Result<Vec<Deposited>, Rejection> {
        let one = |n: u32| Deposited { amount: 1, balance: (self.balance + i64::from(n) + 1).cast_unsigned() };
        Ok((0..cmd.count).map(one).collect())
    }
    #[apply]
    fn deposited(&mut self, event: Deposited) {
        self.balance += event.amount;
    }
}

/// The same without snapshots: every read folds the whole stream.
#[aggregate(domain = "plain", snapshot(off))]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Plain {
    #[prost(int64, tag = "1")]
    pub balance: i64,
}

#[aggregate]
impl Plain {
    #[handler]
    fn deposit_many(&self, cmd: DepositMany) -> Result<Vec<Deposited>, Rejection> {
        let one = |n: u32| Deposited { amount: 1, balance: (self.balance + i64::from(n) + 1).cast_unsigned() };
        Ok((0..cmd.count).map(one).collect())
    }
    #[apply]
    fn deposited(&mut self, event: Deposited) {
        self.balance += event.amount;
    }
}

/// The root of an account.
pub fn account(n: usize) -> Uuid {
    root("account", n.to_string())
}
