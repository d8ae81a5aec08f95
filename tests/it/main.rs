//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod agent;
mod bodies;
mod child;
mod client;
mod drain;
mod endings;
mod framing;
mod grpc;
mod http1;
mod http2;
mod lab;
mod reload;
mod smoke;
mod sockets;
mod sse;
mod tls;
mod websocket;
mod wire;
mod written;
