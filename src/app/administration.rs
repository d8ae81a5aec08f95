//! The admin server of the config in force: started, moved and stopped by reloads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use tokio::sync::oneshot;
use tracing::error;

use crate::admin::{self, Control, Settings};
use crate::model::Admin;
use crate::registry;

/// The admin server of the config in force.
#[derive(Debug, Default)]
pub(super) struct Administration {
    running: Mutex<Option<Server>>,
}

#[derive(Debug)]
struct Server {
    settings: Admin,
    /// Kept, so that a new token does not need a new socket.
    socket: TcpListener,
    address: SocketAddr,
    /// Dropped, it stops the server.
    _stop: oneshot::Sender<()>,
}

/// A socket for settings that are not in force yet.
#[derive(Debug)]
pub(super) struct Next {
    settings: Admin,
    bound: Option<Bound>,
}

/// A socket that is ready to be served.
#[derive(Debug)]
struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    listener: tokio::net::TcpListener,
}

impl Administration {
    /// Binds what `settings` ask for, beside what runs; `None` when nothing changes.
    pub(super) fn prepare(&self, settings: &Admin) -> anyhow::Result<Option<Next>> {
        let running = self.lock();
        if running.as_ref().is_some_and(|server| server.settings == *settings) {
            return Ok(None);
        }
        let kept = running.as_ref().filter(|server| server.settings.bind == settings.bind);
        let socket = match (settings.bind, kept) {
            (None, _) => None,
            (Some(_), Some(server)) => Some(server.socket.try_clone()?),
            (Some(address), None) => {
                let bound = TcpListener::bind(address);
                Some(bound.map_err(|error| anyhow!("the admin server cannot listen on {address}: {}", registry::why_not(&error)))?)
            }
        };
        let bound = socket.map(Bound::new).transpose()?;
        Ok(Some(Next { settings: settings.clone(), bound }))
    }

    /// Stops what ran, and starts `next`.
    pub(super) fn replace(&self, next: Next, control: Arc<dyn Control>) {
        let Next { settings, bound } = next;
        *self.lock() = bound.map(|bound| start(settings, bound, control));
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.lock().as_ref().map(|server| server.address)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Server>> {
        // A server is replaced as a whole: a holder that panicked left either.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bound {
    /// Does everything that can fail.
    fn new(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
        Ok(Self { address: socket.local_addr()?, socket, listener })
    }
}

fn start(settings: Admin, bound: Bound, control: Arc<dyn Control>) -> Server {
    let Bound { socket, address, listener } = bound;
    let (stop, stopped) = oneshot::channel::<()>();
    let who = Settings { address: address.ip(), token: settings.token.clone() };
    // Owned by its `Server`: it ends when the sender is dropped.
    tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        if let Err(error) = admin::serve(listener, control, who, shutdown).await {
            error!(%error, "The admin server has stopped.");
        }
    });
    Server { settings, socket, address, _stop: stop }
}
