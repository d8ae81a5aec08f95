//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

#![allow(clippy::unwrap_used, reason = "a test ends where its world breaks")]

mod aborts;
mod admin;
mod agent;
mod balancing;
mod bodies;
mod breakers;
mod bulkheads;
mod carried;
mod child;
mod churn;
mod client;
mod drain;
mod endings;
mod failover;
mod forwarding;
mod framing;
mod grpc;
mod health;
mod hedges;
mod hostile;
mod http1;
mod http2;
mod kept;
mod kubernetes;
mod lab;
mod limits;
mod observability;
mod queues;
mod rates;
mod reload;
mod retries;
mod routes;
mod sluggish;
mod smoke;
mod sockets;
mod sse;
mod stage;
mod start;
mod strategies;
mod tls;
mod watch;
mod websocket;
mod wire;
mod written;
