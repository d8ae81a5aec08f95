//! The hold that a response has on its connection until its body has ended.

use std::rc::Rc;

use super::exchange::Connections;
use super::h1::H1;
use super::h2::StreamPlace;
use super::outgoing::RequestBody;

/// The hold that a response has on its connection.
///
/// Dropped, it says that the response was not read to its end: an HTTP/1 connection is closed at once. Of HTTP/2 only the stream is
/// reset, by the response's body as it is dropped.
#[must_use = "dropping a lease closes the connection"]
pub struct Lease<B: RequestBody> {
    connections: Rc<Connections<B>>,
    held: Held<B>,
}

/// What is held.
pub(super) enum Held<B: RequestBody> {
    /// A whole connection.
    H1(H1<B>),
    /// A place on a shared one.
    H2(StreamPlace<B>),
}

impl<B: RequestBody> Lease<B> {
    pub(super) fn new(connections: Rc<Connections<B>>, held: Held<B>) -> Self {
        Self { connections, held }
    }

    /// Says that the body has ended as it should: the connection can carry another request.
    ///
    /// A connection that still sends the request's body (the endpoint answered early) is given a second to end.
    pub fn release(self) {
        match self.held {
            Held::H1(connection) => self.connections.put_back(connection),
            Held::H2(place) => drop(place),
        }
    }
}

impl<B: RequestBody> std::fmt::Debug for Lease<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.held {
            Held::H1(_) => "Lease(HTTP/1)",
            Held::H2(_) => "Lease(HTTP/2)",
        })
    }
}
