//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod balancing;
mod forwarding;
mod lab;
mod routing;
mod smoke;
