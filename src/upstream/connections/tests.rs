//! Real sockets on ports that the system chooses, hyper or hand-written bytes as endpoints.

mod h1;
mod h2;
mod lab;
mod tls;
