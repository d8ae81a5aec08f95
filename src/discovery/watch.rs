//! The endpoints of a pool as they come and go, wherever they are found.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dns::Resolver;
use super::merge::Found;
use super::{kubernetes, names, replicas};
use crate::model::{Discovery, Pool};
use crate::platform::Platforms;

/// Where a source writes what it finds; `None` before the first answer.
pub(super) type Sender = watch::Sender<Option<Vec<Found>>>;

/// What is asked for endpoints.
#[derive(Clone)]
pub struct Sources {
    /// For names.
    pub resolver: Resolver,
    /// For Kubernetes, and for replicas on this machine.
    pub platforms: Arc<Platforms>,
}

/// The endpoints that one source finds, as they change; dropped, the looking ends.
#[derive(Debug)]
pub struct Watch {
    receiver: watch::Receiver<Option<Vec<Found>>>,
    task: JoinHandle<()>,
}

/// Looks for endpoints of `pool` on the present runtime until the watch is dropped; `None` for a pool whose endpoints all stand in the file.
pub fn watch(pool: &Pool, sources: &Sources) -> Option<Watch> {
    match pool.discovery.clone()? {
        Discovery::Dns(dns) => Some(Watch::start(|sender| names::follow(dns, sources.resolver.clone(), sender))),
        Discovery::Replicas => {
            let target = pool.autoscale.as_ref()?.target.clone();
            let platforms = sources.platforms.clone();
            Some(Watch::start(|sender| replicas::follow(pool.name.clone(), target, platforms, sender)))
        }
        Discovery::Kubernetes(service) => {
            Some(Watch::start(|sender| kubernetes::follow(service, sources.platforms.cluster().clone(), sender)))
        }
    }
}

impl Watch {
    /// Starts to look; `follow` gets where it writes what it finds.
    pub(super) fn start<F: Future<Output = ()> + Send + 'static>(follow: impl FnOnce(Sender) -> F) -> Self {
        let (sender, receiver) = watch::channel(None);
        Self { receiver, task: tokio::spawn(follow(sender)) }
    }

    /// Returns what was found last; `None` before the first answer.
    pub fn current(&self) -> Option<Vec<Found>> {
        self.receiver.borrow().clone()
    }

    /// Waits until something else is found than what this method was last told of; false when there will be no more. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        self.receiver.changed().await.is_ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
