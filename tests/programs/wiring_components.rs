//! A program full of wiring mistakes. Every item compiles by itself; together they cannot work. It prints what
//! `build()` says about all of them. `tests/wiring.rs` runs it.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Start {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Started {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stop {}
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stopped {}
angzarr_runtime::name_messages!("wiring": Start, Started, Stop, Stopped);

/// Another Rust type with the protobuf name of `Stopped`.
pub mod twin {
    #[derive(Clone, PartialEq, angzarr_runtime::prost::Message)]
    pub struct Stopped {
        #[prost(string, tag = "1")]
        pub why: String,
    }
    angzarr_runtime::name_messages!("wiring": Stopped);
}

#[aggregate(domain = "engine")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct FirstEngine {}

#[aggregate]
impl FirstEngine {
    #[handler]
    fn start(&self, _: Start) -> Result<Started, Rejection> {
        Ok(Started {})
    }
    #[apply]
    fn started(&mut self, _: Started) {}
}

#[aggregate(domain = "engine")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecondEngine {}

#[aggregate]
impl SecondEngine {
    #[handler]
    fn start(&self, _: Start) -> Result<Started, Rejection> {
        Ok(Started {})
    }
    #[apply]
    fn started(&mut self, _: Started) {}
}

#[aggregate(domain = "brake")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Brake {}

#[aggregate]
impl Brake {
    #[handler]
    fn stop(&self, _: Stop) -> Result<Stopped, Rejection> {
        Ok(Stopped {})
    }
    #[apply]
    fn stopped(&mut self, _: Stopped) {}
}

#[projector(name = "dashboard", domains = ["brake"])]
pub struct Dashboard;

#[projector]
impl Dashboard {
    #[handler]
    fn stopped(&self, _: twin::Stopped) -> Result<(), ProjectionError> {
        Ok(())
    }
}

#[saga(name = "dashboard", from = Brake)]
fn dashboard_saga(_: Stopped) -> Option<Command<Brake>> {
    None
}

#[projector(name = "odometer", domains = ["brakes"])]
pub struct Odometer;

#[projector]
impl Odometer {
    #[handler]
    fn stopped(&self, _: Stopped) -> Result<(), ProjectionError> {
        Ok(())
    }
}

#[projector(name = "recorder", domains = ["brake"])]
pub struct Recorder {
    pub lines: Vec<String>,
}

#[projector]
impl Recorder {
    #[handler]
    fn stopped(&self, _: Stopped) -> Result<(), ProjectionError> {
        Ok(())
    }
}

#[projector(name = "idler", domains = ["brake"])]
pub struct Idler;

pub struct Stranger;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let builder = Runtime::builder()
        .storage_url("postgers://nowhere")
        .transport_url("pigeon:")
        .with(Stranger)
        .expect_domains(["gearbox", "brake"]);
    match builder.build().await {
        Ok(_) => println!("it starts"),
        Err(error) => {
            println!("{}\n{error}", error.code());
            std::process::exit(3);
        }
    }
}
