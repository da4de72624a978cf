//! A program with two hundred handlers, from its start to ready: `startup FILE`. Says "ready" when it is.

// A program: nothing here is for others.
#![allow(missing_docs, unreachable_pub)]

use std::io::Write as _;

use angzarr_runtime::prelude::*;

macro_rules! messages {
    ($package:literal: $($name:ident)+) => {
        $(#[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            #[prost(int64, tag = "1")]
            pub n: i64,
        })+
        angzarr_runtime::name_messages!($package: $($name),+);
    };
}

/// An aggregate with one handler for each command, all of the same event.
macro_rules! domain {
    ($module:ident $domain:literal: $($method:ident $command:ident)+) => {
        pub mod $module {
            use angzarr_runtime::prelude::*;
            messages!($domain: Happened $($command)+);

            #[aggregate(domain = $domain)]
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct State {
                #[prost(int64, tag = "1")]
                pub n: i64,
            }

            #[aggregate]
            impl State {
                $(#[handler]
                fn $method(&self, cmd: $command) -> Result<Happened, Rejection> {
                    Ok(Happened { n: cmd.n })
                })+
                #[apply]
                fn happened(&mut self, event: Happened) {
                    self.n += event.n;
                }
            }
        }
    };
}

macro_rules! domains {
    ($($module:ident $domain:literal)+) => {$(
        domain!($module $domain: c01 C01 c02 C02 c03 C03 c04 C04 c05 C05 c06 C06 c07 C07 c08 C08 c09 C09 c10 C10
            c11 C11 c12 C12 c13 C13 c14 C14 c15 C15 c16 C16 c17 C17 c18 C18 c19 C19 c20 C20);
    )+};
}
domains!(d0 "d0" d1 "d1" d2 "d2" d3 "d3" d4 "d4" d5 "d5" d6 "d6" d7 "d7" d8 "d8" d9 "d9");

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> angzarr_runtime::Result<()> {
    let file = std::env::args().nth(1).expect("FILE");
    let runtime = Runtime::builder().storage(Sqlite::open(file)).build().await?;
    println!("ready");
    std::io::stdout().flush().expect("somebody listens");
    runtime.shutdown().await
}
