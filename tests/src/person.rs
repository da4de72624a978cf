//! A person, whose events have a past: renamed, reshaped, split, dropped (rows U).

use angzarr_runtime::prelude::*;

use crate::messages::*;

#[aggregate(domain = "person", snapshot(every = 4))]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Person {
    #[prost(string, tag = "1")]
    pub first: String,
    #[prost(string, tag = "2")]
    pub last: String,
    #[prost(string, tag = "3")]
    pub initials: String,
    #[prost(string, tag = "4")]
    pub street: String,
    #[prost(string, tag = "5")]
    pub city: String,
    #[prost(string, repeated, tag = "6")]
    pub facts: Vec<String>,
}

#[aggregate]
impl Person {
    #[handler]
    fn name(&self, cmd: NamePerson) -> Result<PersonNamed, Rejection> {
        let initials = initials(&cmd.first, &cmd.last);
        Ok(PersonNamed { first: cmd.first, last: cmd.last, initials })
    }
    #[handler]
    fn relocate(&self, cmd: MovePerson) -> Result<(StreetChanged, CityChanged), Rejection> {
        Ok((StreetChanged { street: cmd.street }, CityChanged { city: cmd.city }))
    }

    #[apply]
    fn named(&mut self, e: PersonNamed) {
        (self.first, self.last, self.initials) = (e.first, e.last, e.initials);
    }
    #[apply]
    fn street(&mut self, e: StreetChanged) {
        self.street = e.street;
    }
    #[apply]
    fn city(&mut self, e: CityChanged) {
        self.city = e.city;
    }
    #[apply]
    fn learned(&mut self, e: FactLearned) {
        self.facts.push(e.text);
    }
}

pub fn initials(first: &str, last: &str) -> String {
    first.chars().take(1).chain(last.chars().take(1)).collect()
}

/// V1 had one `name`; V2 had two.
#[upcaster(from = 1)]
fn split_name(old: PersonNamedV1) -> PersonNamedV2 {
    let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
    PersonNamedV2 { first: first.into(), last: last.into() }
}

/// V3 has initials.
#[upcaster(from = 2)]
fn add_initials(old: PersonNamedV2) -> PersonNamed {
    let initials = initials(&old.first, &old.last);
    PersonNamed { first: old.first, last: old.last, initials }
}

/// One event became two.
#[upcaster(from = 1)]
fn split_address(old: AddressChanged) -> (StreetChanged, CityChanged) {
    let (street, city) = old.address.split_once(", ").unwrap_or((&old.address, ""));
    (StreetChanged { street: street.into() }, CityChanged { city: city.into() })
}

/// Rumours are forgotten, unless they turned out to be true.
#[upcaster(from = 1)]
fn forget_rumours(old: RumourHeard) -> Option<FactLearned> {
    old.true_after_all.then_some(FactLearned { text: old.text })
}
