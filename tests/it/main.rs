//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod agent;
mod child;
mod client;
mod drain;
mod lab;
mod reload;
mod smoke;
mod written;
