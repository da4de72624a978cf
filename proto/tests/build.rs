//! `angzarr_proto::build` on small protos in a directory of their own.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;

use angzarr_proto::build::{BuildError, Compiler, DESCRIPTORS};
use angzarr_proto::prost::Message;
use angzarr_proto::prost_types::FileDescriptorSet;
use tempfile::TempDir;

const BANK: &str = r#"syntax = "proto3";

package bank;

import "angzarr/types.proto";
import "google/protobuf/any.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

// An account was opened.
message AccountOpened {
  // Whose it is.
  string owner = 1;
  google.protobuf.Timestamp at = 2;
  angzarr.Cover cover = 3;
  angzarr.UUID id = 4;
  google.protobuf.StringValue note = 5;
  google.protobuf.BytesValue raw = 6;
  google.protobuf.Any anything = 7;
  google.protobuf.Empty nothing = 8;
  angzarr.MergeStrategy merge = 9;
  bytes blob = 10;
  map<string, Line> lines = 11;
  oneof kind {
    Line one = 12;
    string other = 13;
  }

  message Line {
    uint32 quantity = 1;
  }
}
"#;

struct Project(TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        for (name, text) in files {
            let path = dir.path().join("proto").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn compile_with(&self, compiler: Compiler, file: &str) -> Result<(), BuildError> {
        compiler.out_dir(self.path("out")).compile(&[self.path("proto").join(file)], &[self.path("proto")])
    }

    fn compile(&self, file: &str) -> Result<(), BuildError> {
        self.compile_with(Compiler::new(), file)
    }

    fn output(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name)).unwrap()
    }

    fn outputs(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// The generated code without its line breaks, which are the formatter's business.
fn flat(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_contains(code: &str, what: &str) {
    assert!(code.contains(what), "no `{what}` in:\n{code}");
}

#[test]
fn everything_is_reached_through_the_runtime() {
    let project = Project::new(&[("bank.proto", BANK)]);
    project.compile("bank.proto").unwrap();
    assert_eq!(project.outputs(), ["bank.rs", DESCRIPTORS]);

    let code = flat(&project.output("bank.rs"));
    for what in [
        "/// An account was opened. #[derive(Clone, PartialEq, ::angzarr_runtime::proto::prost::Message)]",
        "#[prost(prost_path = \"::angzarr_runtime::proto::prost\")]",
        "/// Whose it is.",
        "impl ::angzarr_runtime::proto::prost::Name for AccountOpened",
        "const NAME: &'static str = \"AccountOpened\";",
        "const PACKAGE: &'static str = \"bank\";",
        "\"bank.AccountOpened.Line\".into()",
        "\"type.googleapis.com/bank.AccountOpened\".into()",
        "Option<::angzarr_runtime::proto::prost_types::Timestamp>",
        "Option<::angzarr_runtime::proto::prost_types::Any>",
        "Option<::angzarr_runtime::proto::angzarr::Cover>",
        "Option<::angzarr_runtime::proto::angzarr::Uuid>",
        "pub nothing: ::core::option::Option<()>",
        "prost(map = \"string, message\", tag = \"11\")",
        "enumeration = \"::angzarr_runtime::proto::angzarr::MergeStrategy\"",
    ] {
        assert_contains(&code, what);
    }
    // Nothing but the runtime and the standard library is named by an absolute path.
    for (position, _) in code.match_indices(" ::").chain(code.match_indices("<::")) {
        let path = &code[position + 1..];
        assert!(
            ["::angzarr_runtime::proto::", "::core::", "::std::"].iter().any(|root| path.starts_with(root)),
            "{}",
            path.chars().take(60).collect::<String>()
        );
    }
}

#[test]
fn the_runtime_may_be_elsewhere() {
    let project = Project::new(&[("bank.proto", BANK)]);
    project.compile_with(Compiler::new().extern_runtime("::angzarr_proto"), "bank.proto").unwrap();
    let code = project.output("bank.rs");
    assert_contains(&code, "::angzarr_proto::prost::Message");
    assert_contains(&code, "::angzarr_proto::angzarr::Cover");
    assert!(!code.contains("angzarr_runtime"));
}

#[test]
fn prost_can_be_configured() {
    let project = Project::new(&[("bank.proto", BANK)]);
    let compiler = Compiler::new().configure(|prost| {
        prost.type_attribute("bank.AccountOpened.Line", "#[derive(PartialOrd)]").include_file("all.rs");
    });
    project.compile_with(compiler, "bank.proto").unwrap();
    assert_contains(&project.output("bank.rs"), "#[derive(PartialOrd)]");
    assert_contains(&project.output("all.rs"), "pub mod bank");
}

#[test]
fn descriptors_keep_the_users_comments() {
    let project = Project::new(&[("bank.proto", BANK)]);
    project.compile("bank.proto").unwrap();
    let bytes = fs::read(project.path("out").join(DESCRIPTORS)).unwrap();
    let set = FileDescriptorSet::decode(bytes.as_slice()).unwrap();
    let commented: Vec<_> =
        set.file.iter().filter(|file| file.source_code_info.is_some()).map(|file| file.name()).collect();
    assert_eq!(commented, ["bank.proto"]);
    assert!(set.file.iter().any(|file| file.name() == "angzarr/types.proto"));
}

#[test]
fn several_files_and_packages() {
    let project = Project::new(&[
        (
            "shop/order.proto",
            "syntax = \"proto3\"; package shop.order; import \"shop/money.proto\"; message Placed { shop.Money total = 1; }",
        ),
        ("shop/money.proto", "syntax = \"proto3\"; package shop; message Money { int64 cents = 1; }"),
    ]);
    project.compile("shop/order.proto").unwrap();
    assert_eq!(project.outputs(), [DESCRIPTORS, "shop.order.rs", "shop.rs"]);
    assert_contains(&project.output("shop.order.rs"), "super::Money");
    assert!(!project.output("shop.order.rs").contains("proto::angzarr"));
}

#[test]
fn our_own_files_cannot_be_replaced() {
    let project =
        Project::new(&[("bank.proto", BANK), ("angzarr/types.proto", "syntax = \"proto3\"; package angzarr;")]);
    project.compile("bank.proto").unwrap();
}

#[test]
fn our_own_package_is_reserved() {
    let file = |package: &str, import: &str| format!("syntax = \"proto3\"; package {package}; {import} message M {{}}");
    let import = "import \"angzarr/types.proto\";";
    for (text, refused) in [
        (file("angzarr", ""), true),
        (file("angzarr", import), true),
        (file("angzarr.bank", import), true),
        (file("angzarr.bank", ""), false),
        (file("angzarry", import), false),
        (file("bank.angzarr", import), false),
    ] {
        let result = Project::new(&[("m.proto", text.as_str())]).compile("m.proto");
        let got = matches!(result, Err(BuildError::ReservedPackage { .. }));
        assert_eq!(got, refused, "{text}: {result:?}");
        assert_eq!(result.is_err(), refused, "{text}");
    }
}

#[test]
fn errors_say_where() {
    for (text, expected) in [
        (
            "syntax = \"proto3\";\nmessage M {\n  string a 1;\n}\n",
            "m.proto:3:12: expected '=', but found '1'\n   |\n 3 |   string a 1;\n   |            ^",
        ),
        (
            "syntax = \"proto3\";\nmessage M {\n  Nothing a = 1;\n}\n",
            "m.proto:3:3: name 'Nothing' is not defined\n   |\n 3 |   Nothing a = 1;\n   |   ^",
        ),
        (
            "syntax = \"proto3\";\nimport \"nowhere.proto\";\n",
            "m.proto:2:1: import 'nowhere.proto' not found\n   |\n 2 | import \"nowhere.proto\";\n   | ^",
        ),
    ] {
        let project = Project::new(&[("m.proto", text)]);
        let error = project.compile("m.proto").unwrap_err();
        let shown = format!("{error:?}");
        let expected = project.path("proto").join(expected).display().to_string();
        assert_eq!(shown, expected);
        assert!(matches!(error, BuildError::Proto { .. }));
        assert!(project.outputs().is_empty());
    }
}

#[test]
fn a_missing_file_is_named() {
    let project = Project::new(&[]);
    let error = project.compile("bank.proto").unwrap_err();
    assert!(matches!(error, BuildError::NotFound { .. }));
    assert!(error.to_string().contains("bank.proto does not exist"), "{error}");
}

#[test]
fn a_file_may_be_named_below_its_include() {
    let project = Project::new(&[("bank.proto", BANK)]);
    Compiler::new().out_dir(project.path("out")).compile(&[Path::new("bank.proto")], &[project.path("proto")]).unwrap();
    assert_contains(&project.output("bank.rs"), "AccountOpened");
}
