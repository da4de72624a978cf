//! A program whose process managers cannot work. Every item compiles by itself. It prints what `build()` says about all of
//! them. `tests/wiring.rs` runs it.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Pay {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Paid {}
angzarr_runtime::name_messages!("coordination": Pay, Paid);

#[aggregate(domain = "till")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Till {}

#[aggregate]
impl Till {
    #[handler]
    fn pay(&self, _: Pay) -> Result<Paid, Rejection> {
        Ok(Paid {})
    }
    #[apply]
    fn paid(&mut self, _: Paid) {}
}

#[process_manager(domain = "checkout", from = [Till])]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Checkout {}

#[process_manager]
impl Checkout {
    #[handler]
    fn paid(&self, _: Paid) -> Reaction {
        Reaction::new()
    }
    #[rejected(from = Till)]
    fn refused_by_type(&self, _: Rejected<Pay>) -> Reaction {
        Reaction::new()
    }
    #[rejected(domain = "till")]
    fn refused_by_name(&self, _: Rejected<Pay>) -> Reaction {
        Reaction::new()
    }
    #[apply]
    fn remembered(&mut self, _: Paid) {}
}

#[aggregate]
impl Checkout {
    #[handler]
    fn pay_here(&self, _: Pay) -> Result<Paid, Rejection> {
        Ok(Paid {})
    }
}

#[process_manager(domain = "mirror", from = [Till, Mirror])]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Mirror {}

#[process_manager]
impl Mirror {
    #[handler]
    fn paid(&self, _: Paid) -> Reaction {
        Reaction::new()
    }
}

/// The same domain by another name.
pub type SameTill = Till;

#[process_manager(domain = "stutter", from = [Till, SameTill])]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stutter {}

#[process_manager]
impl Stutter {
    #[handler]
    fn paid(&self, _: Paid) -> Reaction {
        Reaction::new()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match Runtime::builder().build().await {
        Ok(_) => println!("it starts"),
        Err(error) => {
            println!("{}\n{error}", error.code());
            std::process::exit(3);
        }
    }
}
