//! The shop unchanged on PostgreSQL and NATS, its work divided over four processes (row R5).

#![allow(missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use angzarr_runtime::prelude::*;
use angzarr_runtime::transport::Nats;
use angzarr_runtime::{PostgresReadModel, SubscriptionStatus};
use shop::pb::*;
use shop::{Checkout, Inventory, Order, Payment, Status, stock_root};

/// Where the servers are; see `tests/servers`.
struct Engines {
    postgres: String,
    schema: String,
    nats: String,
}

impl Engines {
    fn new() -> Self {
        let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let postgres = variable("ANGZARR_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/test");
        let schema = format!("shop_{}", Uuid::new_v4().simple());
        let nats = variable("ANGZARR_TEST_NATS", "nats://127.0.0.1:4222");
        Self { postgres, nats: format!("{nats}?prefix={schema}"), schema }
    }

    fn storage(&self) -> String {
        format!("{}?schema={}", self.postgres, self.schema)
    }

    /// The shop as its own tool, in a directory of its own.
    fn serve(&self, directory: &Path) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop-tool"))
            .current_dir(directory)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("ANGZARR_STORAGE", self.storage())
            .env("ANGZARR_TRANSPORT", &self.nats)
            .env("ANGZARR_LEASE_TIME", "2s")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let first = lines.next().expect("it starts: see what it says above");
        assert!(first.starts_with("listening on"), "{first}");
        // Nobody should have to wait until it is read.
        std::thread::spawn(move || lines.for_each(drop));
        Served(child)
    }

    async fn remove(&self) {
        Nats::connect(&self.nats).remove().await.expect("nothing is left at the broker");
        let schema = format!("{}_end", self.schema);
        let client = PostgresReadModel::connect(&self.postgres, &schema, "").await.expect("a connection");
        let client = client.client().await.expect("a connection");
        let drop = format!("DROP SCHEMA {} CASCADE; DROP SCHEMA {schema} CASCADE", self.schema);
        client.batch_execute(&drop).await.expect("nothing is left in the database");
    }
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn shares(runtime: &Runtime) -> (u32, u32) {
    let divided = |it: &SubscriptionStatus| it.shares > 1;
    let all = runtime.subscriptions().into_iter().filter(divided);
    all.fold((0, 0), |(own, shares), it| (own + it.own_shares, shares + it.shares))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_shop_in_four_processes() {
    let engines = Engines::new();
    let directories: Vec<_> = (0..4).map(|_| tempfile::tempdir().expect("a directory")).collect();
    let mut others: Vec<Served> = directories[1..].iter().map(|it| engines.serve(it.path())).collect();
    let builder = shop::builder(&directories[0].path().join("shop.db")).expect("the report");
    let builder = builder.storage_url(&engines.storage()).transport_url(&engines.nats);
    let runtime = builder.lease_time(Duration::from_secs(2)).build().await.expect("it starts");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let (own, all) = shares(&runtime);
        // A quarter or so is this process's.
        if own > 0 && own * 2 < all {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{own} of {all} shares are this process's");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    runtime.send::<Inventory>(stock_root("book"), Restock { quantity: 40 }).await.expect("it is taken");
    let orders: Vec<Uuid> = (0..30).map(|_| Uuid::new_v4()).collect();
    for (index, order) in orders.iter().enumerate() {
        // Every third one has a card that is not good for it.
        let limit = if index % 3 == 0 { 100 } else { 10_000 };
        let choose = ChooseMethod { method: Method::Card.into(), limit };
        runtime.send::<Payment>(*order, choose).await.expect("it is taken");
        let lines = vec![Line { sku: "book".into(), quantity: 1, price: 1_250 }];
        let place = PlaceOrder { customer: "Ada".into(), lines };
        runtime.send::<Order>(*order, place).correlation(order.to_string()).await.expect("it is taken");
        if index == 15 {
            // In the middle of it one of them dies.
            drop(others.pop());
        }
    }
    runtime.settled().await;
    for (index, order) in orders.iter().enumerate() {
        let status = runtime.state::<Order>(*order).await.expect("its state").status();
        let wanted = if index % 3 == 0 { Status::Cancelled } else { Status::Confirmed };
        assert_eq!(status, wanted, "order {index}");
        let checkout = runtime.process::<Checkout>(&order.to_string()).await.expect("its state").into_state();
        assert_eq!(checkout.paid, index % 3 != 0, "order {index}: {checkout:?}");
    }
    let stock = runtime.state::<Inventory>(stock_root("book")).await.expect("its state");
    assert_eq!(stock.free, 20, "what was cancelled is free again");
    drop(others);
    runtime.shutdown().await.expect("it ends");
    engines.remove().await;
}
