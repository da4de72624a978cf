//! Where the brokers are.

use std::time::Duration;

use angzarr_runtime::Uuid;
use tokio::net::TcpStream;

/// `host:port` of the NATS server with JetStream.
pub(crate) async fn nats() -> String {
    reachable("ANGZARR_TEST_NATS", "127.0.0.1:4222", "NATS with JetStream (`nats-server -js`)").await
}

/// `host:port` of RabbitMQ.
pub(crate) async fn amqp() -> String {
    reachable("ANGZARR_TEST_AMQP", "127.0.0.1:5672", "RabbitMQ (user `guest`)").await
}

/// `user:password` there.
pub(crate) fn amqp_user() -> String {
    std::env::var("ANGZARR_TEST_AMQP_USER").unwrap_or_else(|_| "guest:guest".to_owned())
}

/// No test may pass because there was nothing to test.
async fn reachable(variable: &str, otherwise: &str, what: &str) -> String {
    let address = std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned());
    let connected = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(&address)).await;
    match connected {
        Ok(Ok(_)) => address,
        _ => panic!("nobody answers at {address}: run `tests/servers`, or say in {variable} where there is {what}"),
    }
}

/// Keeps tests apart that share a broker.
pub(crate) fn prefix() -> String {
    format!("test-{}", Uuid::new_v4().simple())
}
