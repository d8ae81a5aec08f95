//! The proxy from outside: real sockets, real clients, real endpoints, one binary.

mod agent;
mod balancing;
mod child;
mod churn;
mod client;
mod drain;
mod lab;
mod reload;
mod routing;
mod smoke;
mod watch;
mod written;
