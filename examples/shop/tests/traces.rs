//! The shop's own tool sends its traces where the configuration says, without a line of code for it.

#![allow(missing_docs)]
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use angzarr_runtime::Client;
use shop::pb::*;
use shop::{Inventory, stock_root};

#[path = "../../../tests/src/collector.rs"]
mod collector;

use collector::Collector;

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tool_serves_is_traced() {
    let (collector, address) = Collector::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let said = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\nservice_name = \"our shop\"\n");
    std::fs::write(directory.path().join("angzarr.toml"), said).expect("it is written");
    let serving = Command::new(env!("CARGO_BIN_EXE_shop-tool"))
        .current_dir(directory.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut serving = Serving(serving);
    let mut lines = BufReader::new(serving.0.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert_eq!(lines.next().expect("it starts"), format!("traces go to http://{address}"));
    let first = lines.next().expect("it starts");
    let listens = first.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()).expect("an address");
    let client = Client::connect(format!("http://{listens}")).await.expect("it answers");
    client.send::<Inventory>(stock_root("book"), Restock { quantity: 4 }).await.expect("it is taken");
    drop(client);
    let told = Command::new("kill").args(["-TERM", &serving.0.id().to_string()]).status().expect("it runs");
    assert!(told.success());
    // What is left goes out before it ends.
    let ended = tokio::task::spawn_blocking(move || serving.0.wait().expect("it ends"));
    assert!(ended.await.expect("it ends").success());

    let resource = format!("{:?}", collector.resources().first().expect("something came").resource);
    assert!(resource.contains("our shop"), "{resource}");
    let commands = collector.spans().into_iter().filter(|it| it.name == "command").count();
    assert_eq!(commands, 1, "{:?}", collector.spans());
}
