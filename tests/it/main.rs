//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod lab;
mod routing;
mod smoke;
