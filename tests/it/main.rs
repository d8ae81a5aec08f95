//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod admin;
mod agent;
mod balancing;
mod bodies;
mod child;
mod churn;
mod client;
mod drain;
mod endings;
mod framing;
mod grpc;
mod http1;
mod http2;
mod lab;
mod limits;
mod reload;
mod routing;
mod smoke;
mod sockets;
mod sse;
mod start;
mod tls;
mod watch;
mod websocket;
mod wire;
mod written;
