//! Shows an encoded message to a person.
//!
//! In: a type name and bytes. Out: JSON, with field names where the program knows the descriptor, and with field numbers
//! where the message was written by hand. Never: an error; what cannot be read is shown as hexadecimal digits.

use std::fmt::Write as _;

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::Type;

use super::proto::{ProtoField, ProtoIndex, ProtoMessage};

/// Messages inside messages beyond this depth are shown as bytes.
const DEPTH: usize = 32;

/// The message as JSON on one line; field names if the index describes it.
pub(crate) fn show(index: &ProtoIndex, type_name: &str, payload: &[u8]) -> String {
    let mut text = String::new();
    read(index, type_name, payload, 0).unwrap_or_else(|| Value::Text(hex(payload))).write(&mut text);
    text
}

/// What a JSON document can hold, with the fields in the order of the declaration.
#[derive(Debug)]
enum Value {
    /// Written as it is.
    Bare(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    fn write(&self, into: &mut String) {
        match self {
            Self::Bare(text) => into.push_str(text),
            Self::Text(text) => into.push_str(&quoted(text)),
            Self::List(values) => {
                into.push('[');
                for (at, value) in values.iter().enumerate() {
                    into.push_str(if at == 0 { "" } else { ", " });
                    value.write(into);
                }
                into.push(']');
            }
            Self::Object(fields) => {
                into.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    into.push_str(if at == 0 { "" } else { ", " });
                    into.push_str(&quoted(name));
                    into.push_str(": ");
                    value.write(into);
                }
                into.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One field as it stands on the wire.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

fn read(index: &ProtoIndex, type_name: &str, payload: &[u8], depth: usize) -> Option<Value> {
    if depth >= DEPTH {
        return None;
    }
    match type_name {
        "google.protobuf.Timestamp" => return text_of::<prost_types::Timestamp>(payload),
        "google.protobuf.Duration" => return text_of::<prost_types::Duration>(payload),
        "google.protobuf.Any" => {
            let any = <prost_types::Any as prost::Message>::decode(payload).ok()?;
            let inside = any.type_url.rsplit('/').next().unwrap_or_default();
            let value = read(index, inside, &any.value, depth + 1)?;
            return Some(Value::Object(vec![
                ("@type".to_owned(), Value::Text(any.type_url)),
                ("value".to_owned(), value),
            ]));
        }
        _ => {}
    }
    let fields = split(payload)?;
    match index.message(type_name) {
        Some(message) => described(index, message, &fields, depth),
        None => Some(undescribed(&fields)),
    }
}

fn text_of<M: prost::Message + Default + std::fmt::Display>(payload: &[u8]) -> Option<Value> {
    M::decode(payload).ok().map(|it| Value::Text(it.to_string()))
}

/// The fields of a message, in the order of the wire. `None` for what is no protobuf, or holds groups.
fn split(mut payload: &[u8]) -> Option<Vec<(u32, Wire<'_>)>> {
    let mut fields = Vec::new();
    while payload.has_remaining() {
        let (number, wire_type) = decode_key(&mut payload).ok()?;
        let wire = match wire_type {
            WireType::Varint => Wire::Varint(decode_varint(&mut payload).ok()?),
            WireType::SixtyFourBit => Wire::Fixed64(payload.try_get_u64_le().ok()?),
            WireType::ThirtyTwoBit => Wire::Fixed32(payload.try_get_u32_le().ok()?),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut payload).ok()?).ok()?;
                let (bytes, rest) = payload.split_at_checked(length)?;
                payload = rest;
                Wire::Bytes(bytes)
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        fields.push((number, wire));
    }
    Some(fields)
}

fn described(index: &ProtoIndex, message: &ProtoMessage, wires: &[(u32, Wire<'_>)], depth: usize) -> Option<Value> {
    let mut shown = Vec::new();
    for field in &message.fields {
        let of_field: Vec<_> =
            wires.iter().filter(|(number, _)| *number == field.number).map(|(_, wire)| wire).collect();
        if let Some(value) = value_of(index, field, &of_field, depth)? {
            shown.push((field.name.clone(), value));
        }
    }
    let is_known = |number: u32| message.fields.iter().any(|field| field.number == number);
    for (number, wire) in wires.iter().filter(|(number, _)| !is_known(*number)) {
        shown.push((format!("#{number}"), guess(wire)));
    }
    Some(Value::Object(shown))
}

/// What a field holds; `Some(None)` for one that is not set and has nothing to show.
fn value_of(index: &ProtoIndex, field: &ProtoField, wires: &[&Wire<'_>], depth: usize) -> Option<Option<Value>> {
    if let Some([key, value]) = field.map_entry(index).filter(|_| field.is_repeated) {
        let mut entries = Vec::new();
        for wire in wires {
            let Wire::Bytes(bytes) = wire else { return None };
            let parts = split(bytes)?;
            let of = |field: &ProtoField| {
                let wires: Vec<_> = parts.iter().filter(|(at, _)| *at == field.number).map(|(_, wire)| wire).collect();
                value_of(index, field, &wires, depth)
            };
            let name = match of(key)? {
                Some(Value::Text(text) | Value::Bare(text)) => text,
                _ => String::new(),
            };
            entries.push((name, of(value)?.unwrap_or(Value::Object(Vec::new()))));
        }
        return Some((!entries.is_empty()).then_some(Value::Object(entries)));
    }
    if field.is_repeated {
        let mut values = Vec::new();
        for wire in wires {
            match wire {
                Wire::Bytes(bytes) if is_packable(field.kind) => values.extend(packed(index, field, bytes)?),
                wire => values.push(one(index, field, wire, depth)?),
            }
        }
        return Some((!values.is_empty()).then_some(Value::List(values)));
    }
    match wires.last() {
        Some(wire) => one(index, field, wire, depth).map(Some),
        None if field.has_presence => Some(None),
        None => Some(Some(default_of(index, field))),
    }
}

fn is_packable(kind: Type) -> bool {
    !matches!(kind, Type::String | Type::Bytes | Type::Message | Type::Group)
}

fn packed(index: &ProtoIndex, field: &ProtoField, mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    while bytes.has_remaining() {
        let wire = match field.kind {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => Wire::Fixed64(bytes.try_get_u64_le().ok()?),
            Type::Float | Type::Fixed32 | Type::Sfixed32 => Wire::Fixed32(bytes.try_get_u32_le().ok()?),
            _ => Wire::Varint(decode_varint(&mut bytes).ok()?),
        };
        values.push(one(index, field, &wire, 0)?);
    }
    Some(values)
}

fn default_of(index: &ProtoIndex, field: &ProtoField) -> Value {
    match field.kind {
        Type::String | Type::Bytes => Value::Text(String::new()),
        Type::Bool => Value::Bare("false".to_owned()),
        Type::Enum => enum_value(index, field, 0),
        _ => Value::Bare("0".to_owned()),
    }
}

// Wire values are cut to the declared width, as every reader of protobuf does it.
#[allow(clippy::cast_possible_truncation)]
fn one(index: &ProtoIndex, field: &ProtoField, wire: &Wire<'_>, depth: usize) -> Option<Value> {
    let bare = |text: String| Some(Value::Bare(text));
    match (field.kind, wire) {
        (Type::Bool, Wire::Varint(it)) => bare((*it != 0).to_string()),
        (Type::Enum, Wire::Varint(it)) => Some(enum_value(index, field, *it as i32)),
        (Type::Int32, Wire::Varint(it)) => bare((*it as i32).to_string()),
        (Type::Int64, Wire::Varint(it)) => bare(it.cast_signed().to_string()),
        (Type::Uint32, Wire::Varint(it)) => bare((*it as u32).to_string()),
        (Type::Uint64, Wire::Varint(it)) => bare(it.to_string()),
        (Type::Sint32 | Type::Sint64, Wire::Varint(it)) => {
            bare(((it >> 1).cast_signed() ^ -((it & 1).cast_signed())).to_string())
        }
        (Type::Fixed64, Wire::Fixed64(it)) => bare(it.to_string()),
        (Type::Sfixed64, Wire::Fixed64(it)) => bare(it.cast_signed().to_string()),
        (Type::Double, Wire::Fixed64(it)) => Some(float(f64::from_bits(*it), f64::from_bits(*it).to_string())),
        (Type::Fixed32, Wire::Fixed32(it)) => bare(it.to_string()),
        (Type::Sfixed32, Wire::Fixed32(it)) => bare(it.cast_signed().to_string()),
        (Type::Float, Wire::Fixed32(it)) => {
            Some(float(f64::from(f32::from_bits(*it)), f32::from_bits(*it).to_string()))
        }
        (Type::String, Wire::Bytes(bytes)) => std::str::from_utf8(bytes).ok().map(|text| Value::Text(text.to_owned())),
        (Type::Bytes, Wire::Bytes(bytes)) => Some(Value::Text(hex(bytes))),
        (Type::Message, Wire::Bytes(bytes)) => {
            Some(read(index, &field.type_name, bytes, depth + 1).unwrap_or_else(|| Value::Text(hex(bytes))))
        }
        _ => None,
    }
}

/// JSON has no word for "not a number" and the infinities.
fn float(value: f64, text: String) -> Value {
    if value.is_finite() { Value::Bare(text) } else { Value::Text(text) }
}

fn enum_value(index: &ProtoIndex, field: &ProtoField, number: i32) -> Value {
    match index.enumeration(&field.type_name).and_then(|it| it.values.get(&number)) {
        Some(name) => Value::Text(name.clone()),
        None => Value::Bare(number.to_string()),
    }
}

/// Without a descriptor: numbers for names, and the likeliest reading for the values.
fn undescribed(wires: &[(u32, Wire<'_>)]) -> Value {
    Value::Object(wires.iter().map(|(number, wire)| (format!("#{number}"), guess(wire))).collect())
}

fn guess(wire: &Wire<'_>) -> Value {
    match wire {
        // Negative numbers of the common types fill all 64 bits.
        Wire::Varint(it) => Value::Bare(it.cast_signed().to_string()),
        Wire::Fixed64(it) => Value::Bare(it.to_string()),
        Wire::Fixed32(it) => Value::Bare(it.to_string()),
        Wire::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Value::Text(text.to_owned()),
            _ => Value::Text(hex(bytes)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message as _;

    use super::super::proto::tests::example;
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct All {
        #[prost(int64, tag = "1")]
        number: i64,
        #[prost(sint32, tag = "2")]
        signed: i32,
        #[prost(string, tag = "3")]
        text: String,
        #[prost(int32, tag = "4")]
        color: i32,
        #[prost(btree_map = "string, sint32", tag = "5")]
        labels: BTreeMap<String, i32>,
        #[prost(uint32, repeated, tag = "6")]
        packed: Vec<u32>,
        #[prost(message, optional, tag = "7")]
        when: Option<prost_types::Timestamp>,
        #[prost(bool, optional, tag = "8")]
        left: Option<bool>,
        #[prost(double, optional, tag = "9")]
        maybe: Option<f64>,
        #[prost(message, optional, boxed, tag = "10")]
        inner: Option<Box<All>>,
        #[prost(bytes, tag = "11")]
        raw: Vec<u8>,
        #[prost(message, optional, tag = "12")]
        any: Option<prost_types::Any>,
        #[prost(uint32, tag = "99")]
        unknown: u32,
    }

    fn all() -> All {
        All {
            number: -5,
            signed: -7,
            text: "say \"hi\"".to_owned(),
            color: 1,
            labels: [("a".to_owned(), -1)].into(),
            packed: vec![1, 300],
            when: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            left: Some(true),
            maybe: Some(f64::NAN),
            inner: None,
            raw: vec![0, 255],
            any: None,
            unknown: 3,
        }
    }

    #[test]
    fn every_kind_of_field_reads_like_json() {
        assert_eq!(
            show(&example(), "kit.All", &all().encode_to_vec()),
            r##"{"number": -5, "signed": -7, "text": "say \"hi\"", "color": "RED", "labels": {"a": -1}, "packed": [1, 300], "when": "1970-01-01T00:00:00Z", "left": true, "maybe": "NaN", "raw": "0x00ff", "#99": 3}"##
        );
    }

    #[test]
    fn defaults_are_shown_where_not_set_means_the_same() {
        assert_eq!(
            show(&example(), "kit.All", &[]),
            r#"{"number": 0, "signed": 0, "text": "", "color": 0, "raw": ""}"#
        );
    }

    #[test]
    fn messages_stand_inside_messages() {
        let any = prost_types::Any {
            type_url: "type.googleapis.com/kit.All".to_owned(),
            value: All { number: 2, ..All::default() }.encode_to_vec(),
        };
        let outer =
            All { inner: Some(Box::new(All { number: 1, ..All::default() })), any: Some(any), ..All::default() };
        let shown = show(&example(), "kit.All", &outer.encode_to_vec());
        assert!(shown.contains(r#""inner": {"number": 1,"#), "{shown}");
        assert!(shown.contains(r#""any": {"@type": "type.googleapis.com/kit.All", "value": {"number": 2,"#), "{shown}");
    }

    #[test]
    fn a_message_that_was_written_by_hand_has_numbers_for_names() {
        let shown =
            show(&ProtoIndex::default(), "by.Hand", &All { packed: vec![], when: None, ..all() }.encode_to_vec());
        assert!(shown.starts_with(r##"{"#1": -5, "#2": 13, "#3": "say \"hi\"""##), "{shown}");
    }

    #[test]
    fn what_is_no_protobuf_is_shown_all_the_same() {
        assert_eq!(show(&example(), "kit.All", &[0xff, 0xff]), r#""0xffff""#);
        assert_eq!(show(&example(), "kit.All", &[0x0a, 0xff]), r#""0x0aff""#);
        // A field on the wire that is not what the descriptor says.
        assert_eq!(show(&example(), "kit.All", &[0x0a, 0x01, 0x41]), r#""0x0a0141""#);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            show(&example(), "kit.All", &bytes);
            show(&example(), "google.protobuf.Any", &bytes);
            show(&example(), "google.protobuf.Timestamp", &bytes);
        });
    }
}
