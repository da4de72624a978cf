//! Rows R2, R3, R7, D3 on brokers as they are: NATS and RabbitMQ must be reachable, see `servers.rs`.

mod amqp;
mod local;
mod nats;
mod own_servers;
mod restarts;
mod runtimes;
mod servers;
mod tls;
