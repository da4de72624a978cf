//! What the registered protobuf descriptors say about messages: fields, types, comments.
//!
//! In: the descriptor sets that `include_proto!` registered. Out: an index by full name. Never: a guess about messages that
//! were written by hand; those have no descriptor and are not in the index.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::registry::Registry;

/// Every described message and enum, by full name.
#[derive(Debug, Default)]
pub(crate) struct ProtoIndex {
    messages: BTreeMap<String, ProtoMessage>,
    enums: BTreeMap<String, ProtoEnum>,
}

/// A message.
#[derive(Debug, Default)]
pub(crate) struct ProtoMessage {
    /// Its comment.
    pub(crate) doc: String,
    pub(crate) fields: Vec<ProtoField>,
    /// One entry of a `map<…>`, which the language hides.
    pub(crate) is_map_entry: bool,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct ProtoField {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) doc: String,
    pub(crate) kind: Type,
    /// Full name of the message or enum, if it is one.
    pub(crate) type_name: String,
    pub(crate) is_repeated: bool,
    /// Whether "not set" differs from the default value.
    pub(crate) has_presence: bool,
    /// Whether the author wrote `optional`.
    pub(crate) is_optional: bool,
    /// The `oneof` that it belongs to.
    pub(crate) oneof: Option<String>,
}

/// An enum: names of its values.
#[derive(Debug, Default)]
pub(crate) struct ProtoEnum {
    pub(crate) values: BTreeMap<i32, String>,
}

impl ProtoIndex {
    /// What the program's crates registered.
    pub(crate) fn of(registry: &Registry) -> Self {
        Self::from_sets(registry.proto_descriptors.iter().map(|it| it.file_descriptor_set))
    }

    /// A set that cannot be read describes nothing: the messages then count as written by hand.
    fn from_sets<'a>(sets: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut index = Self::default();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap_or_default().file {
                index.add_file(&file);
            }
        }
        index
    }

    pub(crate) fn message(&self, full_name: &str) -> Option<&ProtoMessage> {
        self.messages.get(full_name)
    }

    pub(crate) fn enumeration(&self, full_name: &str) -> Option<&ProtoEnum> {
        self.enums.get(full_name)
    }

    fn add_file(&mut self, file: &FileDescriptorProto) {
        let comments = Comments::of(file);
        for (at, message) in (0..).zip(&file.message_type) {
            self.add_message(file.package(), message, &comments, &[4, at]);
        }
        for it in &file.enum_type {
            self.add_enum(file.package(), it);
        }
    }

    fn add_message(&mut self, parent: &str, message: &DescriptorProto, comments: &Comments, path: &[i32]) {
        let full_name = join(parent, message.name());
        for (at, nested) in (0..).zip(&message.nested_type) {
            self.add_message(&full_name, nested, comments, &[path, &[3, at]].concat());
        }
        for it in &message.enum_type {
            self.add_enum(&full_name, it);
        }
        let fields = (0..).zip(&message.field);
        let described = ProtoMessage {
            doc: comments.at(path),
            fields: fields.map(|(at, it)| field(message, it, comments.at(&[path, &[2, at]].concat()))).collect(),
            is_map_entry: message.options.as_ref().is_some_and(|options| options.map_entry()),
        };
        // The same file may come from several crates, and only its own crate keeps its comments.
        let better =
            self.messages.get(&full_name).is_none_or(|known| known.doc.is_empty() && !described.doc.is_empty());
        if better {
            self.messages.insert(full_name, described);
        }
    }

    fn add_enum(&mut self, parent: &str, it: &EnumDescriptorProto) {
        let values = it.value.iter().map(|value| (value.number(), value.name().to_owned())).collect();
        self.enums.entry(join(parent, it.name())).or_insert(ProtoEnum { values });
    }
}

impl ProtoField {
    /// The type as a `.proto` file has it.
    pub(crate) fn type_text(&self, index: &ProtoIndex) -> String {
        let one = match self.kind {
            Type::Message | Type::Group | Type::Enum => self.type_name.clone(),
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        if self.is_repeated {
            if let Some([key, value]) = self.map_entry(index) {
                return format!("map<{}, {}>", key.type_text(index), value.type_text(index));
            }
            return format!("repeated {one}");
        }
        if self.is_optional { format!("optional {one}") } else { one }
    }

    /// Key and value, if this is a `map<…>`.
    pub(crate) fn map_entry<'i>(&self, index: &'i ProtoIndex) -> Option<[&'i ProtoField; 2]> {
        let entry = index.message(&self.type_name).filter(|it| it.is_map_entry && self.kind == Type::Message)?;
        let of = |number| entry.fields.iter().find(|field| field.number == number);
        Some([of(1)?, of(2)?])
    }
}

fn field(message: &DescriptorProto, it: &FieldDescriptorProto, doc: String) -> ProtoField {
    let kind = it.r#type();
    let oneof = it.oneof_index.filter(|_| !it.proto3_optional()).and_then(|at| {
        let at = usize::try_from(at).ok()?;
        message.oneof_decl.get(at).map(|oneof| oneof.name().to_owned())
    });
    ProtoField {
        name: it.name().to_owned(),
        number: u32::try_from(it.number()).unwrap_or(0),
        doc,
        kind,
        type_name: it.type_name().trim_start_matches('.').to_owned(),
        is_repeated: it.label() == Label::Repeated,
        has_presence: it.proto3_optional() || oneof.is_some() || matches!(kind, Type::Message | Type::Group),
        is_optional: it.proto3_optional(),
        oneof,
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// Comments of a file, by the path of what they belong to.
struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.filter_map(|location| {
            let text = Some(location.leading_comments()).filter(|text| !text.trim().is_empty());
            let text = tidy(text.unwrap_or(location.trailing_comments()));
            (!text.is_empty()).then(|| (location.path.clone(), text))
        });
        Self(comments.collect())
    }

    fn at(&self, path: &[i32]) -> String {
        self.0.get(path).cloned().unwrap_or_default()
    }
}

/// The comment's lines without the space that follows `//`.
fn tidy(comment: &str) -> String {
    comment.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use prost_types::source_code_info::Location;
    use prost_types::{
        DescriptorProto, EnumValueDescriptorProto, MessageOptions, OneofDescriptorProto, SourceCodeInfo,
    };

    use super::*;

    fn of(name: &str, number: i32, kind: Type, type_name: &str, label: Label) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            r#type: Some(kind.into()),
            type_name: (!type_name.is_empty()).then(|| format!(".{type_name}")),
            label: Some(label.into()),
            ..Default::default()
        }
    }

    fn comment(path: &[i32], text: &str) -> Location {
        Location { path: path.to_vec(), leading_comments: Some(text.to_owned()), ..Default::default() }
    }

    /// `package kit;` with one message of every kind of field, and comments.
    pub(crate) fn example() -> ProtoIndex {
        let entry = DescriptorProto {
            name: Some("LabelsEntry".to_owned()),
            field: vec![
                of("key", 1, Type::String, "", Label::Optional),
                of("value", 2, Type::Sint32, "", Label::Optional),
            ],
            options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
            ..Default::default()
        };
        let all = DescriptorProto {
            name: Some("All".to_owned()),
            field: vec![
                of("number", 1, Type::Int64, "", Label::Optional),
                of("signed", 2, Type::Sint32, "", Label::Optional),
                of("text", 3, Type::String, "", Label::Optional),
                of("color", 4, Type::Enum, "kit.Color", Label::Optional),
                of("labels", 5, Type::Message, "kit.All.LabelsEntry", Label::Repeated),
                of("packed", 6, Type::Uint32, "", Label::Repeated),
                of("when", 7, Type::Message, "google.protobuf.Timestamp", Label::Optional),
                FieldDescriptorProto { oneof_index: Some(0), ..of("left", 8, Type::Bool, "", Label::Optional) },
                FieldDescriptorProto {
                    oneof_index: Some(1),
                    proto3_optional: Some(true),
                    ..of("maybe", 9, Type::Double, "", Label::Optional)
                },
                of("inner", 10, Type::Message, "kit.All", Label::Optional),
                of("raw", 11, Type::Bytes, "", Label::Optional),
                of("any", 12, Type::Message, "google.protobuf.Any", Label::Optional),
            ],
            oneof_decl: ["side", "_maybe"]
                .map(|name| OneofDescriptorProto { name: Some(name.to_owned()), options: None })
                .into(),
            nested_type: vec![entry],
            ..Default::default()
        };
        let color = EnumDescriptorProto {
            name: Some("Color".to_owned()),
            value: vec![EnumValueDescriptorProto { name: Some("RED".to_owned()), number: Some(1), options: None }],
            ..Default::default()
        };
        let file = FileDescriptorProto {
            package: Some("kit".to_owned()),
            message_type: vec![all],
            enum_type: vec![color],
            source_code_info: Some(SourceCodeInfo {
                location: vec![
                    comment(&[4, 0], " Everything.\n On two lines.\n"),
                    comment(&[4, 0, 2, 0], " How many.\n"),
                ],
            }),
            ..Default::default()
        };
        ProtoIndex::from_sets(std::iter::once(FileDescriptorSet { file: vec![file] }.encode_to_vec().as_slice()))
    }

    #[test]
    fn comments_and_types_are_those_of_the_file() {
        let index = example();
        let all = index.message("kit.All").unwrap();
        assert_eq!(all.doc, "Everything.\nOn two lines.");
        assert_eq!(all.fields[0].doc, "How many.");
        let types: Vec<_> = all.fields.iter().map(|field| field.type_text(&index)).collect();
        assert_eq!(
            types,
            [
                "int64",
                "sint32",
                "string",
                "kit.Color",
                "map<string, sint32>",
                "repeated uint32",
                "google.protobuf.Timestamp",
                "bool",
                "optional double",
                "kit.All",
                "bytes",
                "google.protobuf.Any"
            ]
        );
        assert_eq!(all.fields[7].oneof.as_deref(), Some("side"));
        assert_eq!(all.fields[8].oneof, None, "`optional` makes a oneof of its own, which nobody wrote");
    }

    #[test]
    fn what_is_no_descriptor_set_describes_nothing() {
        let index = ProtoIndex::from_sets(std::iter::once(&b"\xff\xff\xff"[..]));
        assert!(index.message("kit.All").is_none());
    }
}
