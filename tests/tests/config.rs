//! What a deployment says: every setting from file and environment, which of them wins, and every mistake at once.

use std::collections::BTreeMap;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Builder, Config, Limits, Origin, ServerConfig, Setting};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;

/// Every setting: its name, a value that is nobody's default, and how it is shown.
const ALL: &[(&str, &str, &str)] = &[
    ("storage", "\"memory:\"", "memory"),
    ("transport", "\"local:\"", "local"),
    ("outbox", "false", "false"),
    ("state_cache_bytes", "\"3MiB\"", "3MiB"),
    ("sync_deadline", "\"7s\"", "7s"),
    ("drain_limit", "\"2m\"", "2m"),
    ("command_attempts", "17", "17"),
    ("partitions", "8", "8"),
    ("lease_time", "\"3s\"", "3s"),
    ("cascade_depth", "33", "33"),
    ("reaction_attempts", "9", "9"),
    ("reaction_backoff_min", "\"6ms\"", "6ms"),
    ("reaction_backoff_max", "\"501ms\"", "501ms"),
    ("limits.payload_bytes", "1_024", "1KiB"),
    ("limits.ext_bytes", "\"8KiB\"", "8KiB"),
    ("limits.events_per_command", "0x10", "16"),
    ("limits.pages_per_book", "11", "11"),
    ("limits.domain_name_chars", "32", "32"),
    ("limits.edition_name_chars", "33", "33"),
    ("limits.id_bytes", "99", "99"),
    ("server.listen", "\"[::1]:50051\"", "[::1]:50051"),
    ("server.tls_cert", "\"a/cert.pem\"", "a/cert.pem"),
    ("server.tls_key", "\"a/key.pem\"", "a/key.pem"),
    ("server.client_ca", "\"a/ca.pem\"", "a/ca.pem"),
    ("server.token_env", "\"THE_TOKEN\"", "THE_TOKEN"),
    ("server.max_in_flight", "12", "12"),
    ("server.default_deadline", "\"1500ms\"", "1500ms"),
    ("telemetry.otlp_endpoint", "\"http://localhost:4317\"", "http://localhost:4317"),
    ("telemetry.prometheus_listen", "\"127.0.0.1:9464\"", "127.0.0.1:9464"),
    ("telemetry.service_name", "\"bank\"", "bank"),
];

fn from_toml(text: &str) -> Builder {
    Builder::default().configured_by(Config::from_toml("a.toml", text))
}

fn variables(variables: &[(&str, &str)]) -> Config {
    Config::from_variables(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn settings(builder: &Builder) -> BTreeMap<&'static str, Setting> {
    builder.settings().into_iter().map(|it| (it.name, it)).collect()
}

fn line(text: &str, name: &str) -> usize {
    text.lines().position(|line| line.starts_with(&format!("{name} = "))).expect("it is there") + 1
}

/// What `build` would tell.
fn mistakes(builder: &Builder) -> Vec<String> {
    match builder.check() {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_setting_comes_from_a_file_with_its_line() {
    let mut text = String::new();
    let mut section = "";
    for (name, value, _) in ALL {
        let (of, name) = name.split_once('.').unwrap_or(("", name));
        if of != section {
            text += &format!("[{of}]\n");
            section = of;
        }
        text += &format!("{name} = {value}\n");
    }
    let builder = from_toml(&text);
    assert!(mistakes(&builder).iter().all(|it| !it.contains("a.toml")), "{:?}", mistakes(&builder));
    let found = settings(&builder);
    assert_eq!(found.len(), ALL.len(), "a setting is missing in this test");
    for (name, _, shown) in ALL {
        assert_eq!(found[name].value.as_deref(), Some(*shown), "{name}");
        let line = line(&text, name.rsplit('.').next().expect("a name"));
        assert_eq!(found[name].origin, Origin::File { path: "a.toml".into(), line }, "{name}");
    }
    let server = builder.server_config();
    assert_eq!(server.default_deadline, Some(Duration::from_millis(1_500)));
    assert_eq!(server.listen, Some("[::1]:50051".parse().unwrap()));
    assert_eq!(builder.telemetry_config().service_name.as_deref(), Some("bank"));
}

#[test]
fn every_setting_comes_from_the_environment_too() {
    for (name, value, shown) in ALL {
        let variable = format!("ANGZARR_{}", name.replace('.', "_").to_uppercase());
        let value = value.trim_matches('"').replace("0x10", "16");
        let found = settings(&Builder::default().configured_by(variables(&[(&variable, &value)])));
        assert_eq!(found[name].value.as_deref(), Some(*shown), "{name}");
        assert_eq!(found[name].variable, variable);
        assert_eq!(found[name].origin, Origin::Environment { variable });
    }
}

#[test]
fn environment_wins_over_file_wins_over_source_unless_the_source_speaks_last() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("deployed.toml");
    std::fs::write(&file, "command_attempts = 3\ncascade_depth = 3\nreaction_attempts = 3\n").unwrap();
    let said = || {
        variables(&[
            ("ANGZARR_CONFIG", file.to_str().unwrap()),
            ("ANGZARR_CASCADE_DEPTH", "4"),
            ("ANGZARR_DRAIN_LIMIT", ""),
            ("HOME", "/"),
        ])
    };
    let builder = Builder::default()
        .command_attempts(2)
        .cascade_depth(2)
        .drain_limit(Duration::from_secs(2))
        .server_defaults(ServerConfig { max_in_flight: Some(2), ..ServerConfig::default() })
        .limits(Limits { id_bytes: 2, ..Limits::default() })
        .configured_by(said())
        .reaction_attempts(5);
    let found = settings(&builder);
    let place = file.display().to_string();
    for (name, value, origin) in [
        ("command_attempts", "3", &*format!("{place}:1")),
        ("cascade_depth", "4", "ANGZARR_CASCADE_DEPTH"),
        ("reaction_attempts", "5", "builder"),
        ("drain_limit", "2s", "builder"), // an empty variable says nothing
        ("server.max_in_flight", "2", "builder"),
        ("limits.id_bytes", "2", "builder"),
        ("limits.ext_bytes", "4KiB", "default"),
        ("sync_deadline", "5s", "default"),
    ] {
        assert_eq!((found[name].value.as_deref(), &*found[name].origin.to_string()), (Some(value), origin), "{name}");
    }
}

#[tokio::test]
async fn a_program_is_switched_by_url_alone() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?durability=relaxed", directory.path().join("other.db").display());
    let id = Uuid::new_v4();
    for balance in [5, 10] {
        let builder = angzarr_tests::Rig::new().builder().storage(Memory::new());
        let runtime = builder.configured_by(variables(&[("ANGZARR_STORAGE", &url)])).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, balance);
        runtime.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_stops_the_start() {
    let wrong = "\
storage = \"nosuch:x\"
transport = 5
outbox = \"maybe\"
state_cache_bytes = \"much\"
sync_deadline = 5
drain_limit = \"2 days\"
command_attempts = 0
cascade_depth = -1
reaction_attempts = 1.5
reaction_backoff_min = \"2s\"
reaction_backoff_max = \"1s\"
sync_dedline = \"5s\"
server_listen = 1
[limits]
payload_bytes = [1]
id_byte = 5
[server]
listen = \"localhost\"
tls_cert = \"\"
client_ca = \"ca.pem\"
token_env = \"Bearer s3cr3t\"
[telemetri]
service_name = \"x\"
[telemetry]
otlp_endpoint = \"localhost:4317\"
[storage2]
";
    let Err(error) = from_toml(wrong).build().await else { panic!("it must not start") };
    assert!(matches!(error, Error::Wiring(_)), "{error:?}");
    let told = error.to_string();
    for expected in [
        "error: a.toml:1: `nosuch:x` is no storage of this build",
        "error: a.toml:2: `transport` is `5`; write a URL, like \"local:\"",
        "error: a.toml:3: `outbox` is `maybe`; write true or false",
        "error: a.toml:4: `state_cache_bytes` is `much`; write a size from 0B to 16TiB",
        "error: a.toml:5: `sync_deadline` is `5`; write a time from 1ms to 1h, like \"5s\"",
        "error: a.toml:6: `drain_limit` is `2 days`; write a time from 0s to 1h",
        "error: a.toml:7: `command_attempts` is `0`; write a number from 1 to 1000",
        "error: a.toml:8: `cascade_depth` is `-1`; write a number from 1",
        "error: a.toml:9: `reaction_attempts` is a fraction; write a number",
        "`reaction_backoff_min` is 2s (a.toml:10), more than `reaction_backoff_max`, which is 1s (a.toml:11)",
        "error: a.toml:12: there is no setting `sync_dedline`\n   = help: did you mean `sync_deadline`?",
        "error: a.toml:13: there is no setting `server_listen`\n   = help: did you mean `server.listen`?",
        "error: a.toml:15: `limits.payload_bytes` is a list; write a size",
        "error: a.toml:16: there is no setting `limits.id_byte`\n   = help: did you mean `limits.id_bytes`?",
        "error: a.toml:18: `server.listen` is `localhost`; write an address with a port",
        "error: a.toml:19: `server.tls_cert` is ``; write a text that is not empty",
        "error: `server.client_ca` is set, and the server has no certificate of its own",
        "error: a.toml:21: `server.token_env` is no name of a variable; write the name of an environment variable",
        "error: a.toml:22: there is no setting `telemetri`\n   = help: did you mean `telemetry`?",
        "error: a.toml:25: `telemetry.otlp_endpoint` is `localhost:4317`; write an http:// or https:// address",
        "error: a.toml:26: there is no setting `storage2`\n   = help: did you mean `storage`?",
    ] {
        assert!(told.contains(expected), "{expected}\nis missing in\n{told}");
    }
    assert!(!told.contains("s3cr3t"), "a token in the place of a name is not shown: {told}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line_and_the_rest_still_counts() {
    let builder = from_toml("outbox = false\nsync_deadline = \ncommand_attempts = 3\ncommand_attempts = 4\n");
    let told = mistakes(&builder).join("\n");
    assert!(told.contains("a.toml:2: "), "{told}");
    assert!(told.contains("a.toml:4: duplicate key"), "{told}");
    assert_eq!(settings(&builder)["outbox"].value.as_deref(), Some("false"));
    let told = mistakes(&from_toml("server = 5\n[storage]\nurl = \"memory:\"\n")).join("\n");
    assert!(told.contains("a.toml:1: `server` is a section, not a setting"), "{told}");
    assert!(told.contains("a.toml:2: `storage` is a section; write a URL"), "{told}");
}

#[test]
fn what_belongs_together_is_asked_for_together() {
    let told = mistakes(&from_toml("[server]\ntls_cert = \"cert.pem\"\n")).join("\n");
    assert!(told.contains("`server.tls_cert` and `server.tls_key` come together"), "{told}");
    // Against a value of the source the file may be wrong, too.
    let told = mistakes(&from_toml("reaction_backoff_max = \"1ms\"\n")).join("\n");
    assert!(told.contains("`reaction_backoff_min` is 5ms (default), more than"), "{told}");
}

#[test]
fn mistakes_of_the_environment_name_the_variable() {
    let said = [
        ("ANGZARR_SYNC_DEADLINE", "soon"),
        ("ANGZARR_CONFIG", "/nowhere/a.toml"),
        ("ANGZARR_STORAGE", "x://a:s3cr3t@h/"),
    ];
    let builder = Builder::default().configured_by(variables(&said));
    let told = mistakes(&builder).join("\n");
    assert!(told.contains("error: ANGZARR_SYNC_DEADLINE: `sync_deadline` is `soon`; write a time"), "{told}");
    assert!(told.contains("error: the configuration /nowhere/a.toml cannot be read"), "{told}");
    assert!(told.contains("error: ANGZARR_STORAGE: `x://a:***@h/` is no storage"), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
}

#[test]
fn a_variable_that_sets_nothing_is_told_and_stops_nothing() {
    let said = [
        ("ANGZARR_SYNC_DEADLIN", "5s"),
        ("ANGZARR_SERVICE_HOST", "10.0.0.1"), // from Kubernetes, for a service named `angzarr`
        ("ANGZARR_SERVER_TOKEN_ENV", "ANGZARR_BEARER"),
        ("ANGZARR_BEARER", "s3cr3t"),
    ];
    let builder = angzarr_tests::Rig::new().builder().configured_by(variables(&said));
    let registry = builder.check().expect("warnings only");
    let told = registry.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(
        told.contains(
            "warning: the variable ANGZARR_SYNC_DEADLIN sets nothing\n   = help: did you mean ANGZARR_SYNC_DEADLINE?"
        ),
        "{told}"
    );
    assert!(told.contains("the variable ANGZARR_SERVICE_HOST sets nothing"), "{told}");
    assert!(!told.contains("ANGZARR_BEARER"), "the variable of the token is known: {told}");
}
