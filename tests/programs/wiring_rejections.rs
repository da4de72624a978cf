//! A program that starts, with `#[rejected]` methods that are never called. It prints the warnings. `tests/wiring.rs` runs it.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_runtime::registry::Registry;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Pay {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pai {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Paid {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ship {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Undone {}
angzarr_runtime::name_messages!("rejections": Pay, Pai, Paid, Ship, Undone);

#[aggregate(domain = "harbour", remote, handles(Ship))]
pub struct Harbour;

#[aggregate(domain = "till")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Till {}

#[aggregate]
impl Till {
    #[handler]
    fn pay(&self, _: Pay) -> Result<Paid, Rejection> {
        Ok(Paid {})
    }
    #[rejected]
    fn pay_refused(&self, _: Rejected<Pay>) -> Result<Undone, Revocation> {
        Ok(Undone {})
    }
    #[apply]
    fn paid(&mut self, _: Paid) {}
    #[apply]
    fn undone(&mut self, _: Undone) {}
}

#[aggregate(domain = "purse")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Purse {}

#[aggregate]
impl Purse {
    #[handler]
    fn pay(&self, _: Pay) -> Result<Paid, Rejection> {
        Ok(Paid {})
    }
    #[rejected]
    fn heard_of_by_its_saga(&self, _: Rejected<Pay>) -> Result<Undone, Revocation> {
        Ok(Undone {})
    }
    #[apply]
    fn paid(&mut self, _: Paid) {}
    #[apply]
    fn undone(&mut self, _: Undone) {}
}

#[saga(name = "to-the-till", from = Purse)]
fn to_the_till(_: Paid) -> Command<Till> {
    Till::command(root("till", "1"), Pay {})
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
    #[rejected]
    fn misspelled(&self, _: Rejected<Pai>) -> Reaction {
        Reaction::new()
    }
    #[rejected(domain = "till")]
    fn wrong_target(&self, _: Rejected<Ship>) -> Reaction {
        Reaction::new()
    }
    #[rejected(from = Harbour)]
    fn elsewhere(&self, _: Rejected<Ship>) -> Reaction {
        Reaction::new()
    }
}

fn main() {
    match Registry::collect() {
        Ok(registry) => {
            println!("WIRING");
            registry.warnings().iter().for_each(|warning| println!("{warning}"));
            std::process::exit(3);
        }
        Err(errors) => println!("{errors}"),
    }
}
