//! Something whose every part breaks when a test says so: handler, `#[apply]`, upcaster, snapshot codec.

use angzarr_runtime::prelude::*;

/// Breaks at the part that `how` names: `apply` panics where it is applied, and so on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Strike {
    #[prost(string, tag = "1")]
    pub how: String,
}
/// Gives an event that nests so deeply that nobody can read it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bury {
    #[prost(uint32, tag = "1")]
    pub depth: u32,
}
#[derive(Clone, PartialEq, prost::Message)]
pub struct StruckV1 {
    #[prost(string, tag = "1")]
    pub how: String,
}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struck {
    #[prost(string, tag = "1")]
    pub how: String,
    #[prost(uint32, tag = "2")]
    pub before: u32,
}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Buried {
    #[prost(message, optional, boxed, tag = "1")]
    pub below: Option<Box<Buried>>,
}
angzarr_runtime::name_messages!("brittle": Strike, Bury, StruckV1, Struck, Buried);

#[aggregate(domain = "brittle", snapshot(every = 4, codec = Serde))]
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Brittle {
    pub strikes: u32,
    #[serde(with = "glass")]
    pub last: String,
}

#[aggregate]
impl Brittle {
    #[handler]
    fn strike(&self, cmd: Strike) -> Result<Struck, Rejection> {
        assert!(cmd.how != "handler", "the handler breaks on purpose");
        Ok(Struck { how: cmd.how, before: self.strikes })
    }
    #[handler]
    fn bury(&self, cmd: Bury) -> Result<Buried, Rejection> {
        Ok((0..cmd.depth).fold(Buried::default(), |below, _| Buried { below: Some(Box::new(below)) }))
    }
    #[apply]
    fn struck(&mut self, e: Struck) {
        self.strikes += 1;
        self.last = e.how;
        assert!(self.last != "apply", "the apply breaks on purpose");
    }
    #[apply]
    fn buried(&mut self, _: Buried) {
        self.strikes += 1;
    }
}

#[upcaster(from = 1)]
fn upcast_struck(old: StruckV1) -> Struck {
    assert!(old.how != "upcaster", "the upcaster breaks on purpose");
    Struck { how: old.how, before: 0 }
}

/// A codec that breaks.
mod glass {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
        assert!(text != "encode", "the codec breaks on purpose");
        if text == "no encode" {
            return Err(serde::ser::Error::custom("not today"));
        }
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let text = String::deserialize(from)?;
        assert!(text != "decode", "the codec breaks on purpose");
        if text == "no decode" {
            return Err(serde::de::Error::custom("not today"));
        }
        Ok(text)
    }
}
