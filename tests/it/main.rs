//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod http1;
mod lab;
mod smoke;
mod wire;
