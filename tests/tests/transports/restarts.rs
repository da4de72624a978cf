//! A broker that is killed and started again, under load. It is a server of the test's own: the shared one stays up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::own_servers::{Server, nats_server, rabbitmq_server};
use crate::runtimes::{OverAmqp, OverClassicAmqp, OverNats, loses_nothing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_nats_server_that_is_killed_again_and_again_loses_nothing() {
    let mut server = Server::start(nats_server).await;
    let (address, kills) = (server.address(), AtomicU32::new(0));
    let breaking = async {
        for pause in [200, 500, 80, 900].into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            server.kill();
            kills.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(pause / 4)).await;
            server.again().await;
            // Long enough for somebody to get on.
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    loses_nothing::<OverNats>(&address, &address, Duration::from_millis(40), breaking).await;
    assert!(kills.load(Ordering::SeqCst) >= 3, "it was hard enough");
}

/// With classic queues: of quorum queues that are younger than three minutes the version that Debian has does not bring back
/// every one after a kill (see `Amqp::classic_queues`), and then answers nobody who publishes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_rabbitmq_server_that_is_killed_loses_nothing() {
    let mut server = Server::start(rabbitmq_server).await;
    let (address, kills) = (server.address(), AtomicU32::new(0));
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        kills.fetch_add(1, Ordering::SeqCst);
        server.again().await;
        std::future::pending().await
    };
    loses_nothing::<OverClassicAmqp>(&address, &address, Duration::from_millis(40), breaking).await;
    assert_eq!(kills.load(Ordering::SeqCst), 1, "in the middle of it");
}

/// With quorum queues: it writes down what it has, and is away for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_rabbitmq_server_with_quorum_queues_that_is_restarted_loses_nothing() {
    let mut server = Server::start(rabbitmq_server).await;
    let (address, restarts) = (server.address(), AtomicU32::new(0));
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.stop().await;
        restarts.fetch_add(1, Ordering::SeqCst);
        server.again().await;
        std::future::pending().await
    };
    loses_nothing::<OverAmqp>(&address, &address, Duration::from_millis(40), breaking).await;
    assert_eq!(restarts.load(Ordering::SeqCst), 1, "in the middle of it");
}
