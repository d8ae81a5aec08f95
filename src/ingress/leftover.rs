//! The socket that is left when a connection ends on which a switch of protocols was possible and did not happen.
//!
//! hyper prepares a switch for every `Upgrade` field and every CONNECT, and at the connection's end hands the socket to whoever waits for
//! the switch instead of shutting it down. Nobody waits when the field is ignored or the switch refused: the socket would be dropped,
//! without the end that TLS owes and with what the client still sends unread.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::rt::Write;
use hyper::upgrade::OnUpgrade;
use tokio::task::spawn_local;

use super::connection::Client;
use super::watch::Order;

/// Waits for the end of the connection and shuts its socket down, if hyper leaves that to us.
///
/// The task belongs to the connection, whose seat it keeps until the socket is closed. It ends with the connection, with the next request
/// that has an `Upgrade` field, or when the sweep ends it: a client that takes nothing or never stops sending holds it no longer than others.
pub(super) fn close(client: Rc<Client>, offer: OnUpgrade) {
    drop(spawn_local(async move {
        let Ok(mut socket) = offer.await else { return };
        let watched = &client.seat.watched;
        // An error is an end too.
        let _ = poll_fn(|cx| match watched.take_order(cx) {
            Order::End => Poll::Ready(Ok(())),
            Order::None | Order::Look | Order::Close | Order::LastCall => Pin::new(&mut socket).poll_shutdown(cx),
        })
        .await;
    }));
}
