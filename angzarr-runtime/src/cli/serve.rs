//! `serve`: the program as a gRPC server, until somebody stops it.
//!
//! In: an address, certificates, where tokens stand. Out: what is offered and how to call it; and a program that ends in order on
//! Ctrl-C or SIGTERM. Never: a secret on the command line, where everybody on the machine can read it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::failure::Failure;
use super::live::Live;
use super::{Builder, ServeArguments};
use crate::Runtime;
use crate::docs::Elsewhere;
use crate::server::{Bound, ServeError, Tokens};

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let failure = Self::new(&error);
        if error.is_retryable() {
            failure.hint("another process listens there; `--listen` takes another")
        } else {
            failure
        }
    }
}

pub(super) async fn run(
    builder: Builder,
    arguments: ServeArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    #[cfg(feature = "otel")]
    let _traces = traces(&builder, out)?;
    run_until(builder, arguments, out, stopped()).await
}

/// Sends traces where the configuration says, until it is dropped. A program that listens already has decided by itself where
/// they go.
#[cfg(feature = "otel")]
fn traces(builder: &Builder, out: &mut (dyn Write + Send)) -> Result<Option<crate::telemetry::otel::Traces>, Failure> {
    use crate::telemetry::otel::{OtelError, install};
    let config = builder.telemetry_config();
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    match install(config) {
        Ok(traces) => {
            writeln!(out, "traces go to {}", crate::runtime::mask(endpoint))?;
            Ok(Some(traces))
        }
        Err(OtelError::Subscriber) => Ok(None),
        Err(error) => {
            Err(Failure::new(&error).hint("`telemetry.otlp_endpoint` says where traces go; `config` shows who said so"))
        }
    }
}

/// The same with an end that is not a signal.
pub(super) async fn run_until(
    builder: Builder,
    arguments: ServeArguments,
    out: &mut (dyn Write + Send),
    end: impl Future<Output = ()>,
) -> Result<(), Failure> {
    // Before anything is started.
    let described = Described::read(&arguments)?;
    let live = Live::start(builder, "`runtime.serve(…)`").await?;
    let done = serve(&live.runtime, described, arguments, out, end).await;
    live.end(done).await
}

/// What files and the environment say.
struct Described {
    tls: Option<(Vec<u8>, Vec<u8>)>,
    client_ca: Option<Vec<u8>>,
    tokens: Option<Tokens>,
}

impl Described {
    fn read(arguments: &ServeArguments) -> Result<Self, Failure> {
        let ServeArguments { tls_cert, tls_key, client_ca, token_env, .. } = arguments;
        let tls = match (tls_cert, tls_key) {
            (Some(certificate), Some(key)) => Some((file(certificate)?, file(key)?)),
            _ => None,
        };
        let client_ca = client_ca.as_deref().map(file).transpose()?;
        let tokens = match token_env {
            None => None,
            Some(name) => {
                let text = std::env::var(name).unwrap_or_default();
                let tokens: Vec<&str> = text.split([',', ' ', '\n']).filter(|token| !token.is_empty()).collect();
                if tokens.is_empty() {
                    let failure = Failure::usage(format_args!("the environment has no tokens in `{name}`"));
                    return Err(failure.hint(format_args!("export {name}=\"a token, and another\"")));
                }
                Some(Tokens::new(tokens))
            }
        };
        Ok(Self { tls, client_ca, tokens })
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", path.display())))
}

async fn serve(
    runtime: &Runtime,
    described: Described,
    arguments: ServeArguments,
    out: &mut (dyn Write + Send),
    end: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut server = runtime.serve(arguments.listen).drain_limit(Duration::from_secs(arguments.drain));
    if let Some((certificate, key)) = described.tls {
        server = server.tls(certificate, key);
    }
    if let Some(authority) = described.client_ca {
        server = server.client_ca(authority);
    }
    if let Some(tokens) = described.tokens {
        server = server.authorize(tokens);
    }
    let bound = server.bind().await?;
    tell(runtime, &bound, &arguments, out)?;
    out.flush()?;
    bound.run_until(end).await?;
    writeln!(out, "stopped")?;
    Ok(())
}

/// What is offered, and a call to begin with.
fn tell(
    runtime: &Runtime,
    bound: &Bound,
    arguments: &ServeArguments,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let kind = match (bound.is_tls(), arguments.client_ca.is_some()) {
        (true, true) => "TLS, with client certificates",
        (true, false) => "TLS",
        _ => "plain text",
    };
    writeln!(out, "listening on {} ({kind})", bound.local_addr())?;
    for service in bound.services() {
        writeln!(out, "  {service}")?;
    }
    writeln!(out, "  grpc.health.v1.Health, and reflection (v1 and v1alpha)")?;
    for it in Elsewhere::all(&runtime.core().registry) {
        writeln!(out, "calls the {it}")?;
    }
    if arguments.token_env.is_none() && !bound.local_addr().ip().is_loopback() {
        writeln!(out, "anybody who reaches this address may call: `--token-env` or `--client-ca` says who may")?;
    }
    if let Some(example) = example(runtime, bound, arguments) {
        writeln!(out, "\nto begin with:\n{example}")?;
    }
    writeln!(out, "\nCtrl-C stops it in order")?;
    Ok(())
}

/// A call of `grpcurl` with the first command of the first aggregate.
fn example(runtime: &Runtime, bound: &Bound, arguments: &ServeArguments) -> Option<String> {
    let mut aggregates = runtime.core().registry.aggregates.iter();
    let (domain, command) = aggregates.find_map(|(domain, it)| Some((domain, it.handlers.keys().next()?)))?;
    let root = base64(crate::root(domain, "example").as_bytes());
    let mut flags = match (bound.is_tls(), &arguments.tls_cert) {
        (true, Some(certificate)) => format!("-cacert {}", certificate.display()),
        _ => "-plaintext".to_owned(),
    };
    if arguments.client_ca.is_some() {
        flags.push_str(" -cert CLIENT.pem -key CLIENT-KEY.pem");
    }
    if arguments.token_env.is_some() {
        flags.push_str(" -H 'authorization: Bearer TOKEN'");
    }
    Some(format!(
        "  grpcurl {flags} -d '{{\"command\": {{\"cover\": {{\"domain\": \"{domain}\", \"root\": {{\"value\": \"{root}\"}}}}, \
         \"pages\": [{{\"command\": {{\"@type\": \"type.googleapis.com/{command}\"}}}}]}}}}' \\\n    {} \
         angzarr.CommandHandlerCoordinatorService/HandleCommand",
        bound.local_addr()
    ))
}

/// As JSON has bytes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

/// Resolves when somebody wants the program to stop.
async fn stopped() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody can press it then.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_json_has_them() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0xfb]), "//79+w==");
    }
}
