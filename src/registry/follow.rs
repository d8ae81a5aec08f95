//! What finds the endpoints of pools, from world to world: a source that stays is not asked anew, and no edit empties a pool.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::apply::Registry;
use super::members;
use super::world::{Command, World};
use crate::discovery::{self, Found, Watch};
use crate::model::{Address, Discovery, Id, Pool, Target};

/// What follows the source of each pool that has one.
#[derive(Default)]
pub(super) struct Followers(HashMap<Id, Follower>);

/// Follows the source of one pool.
struct Follower {
    source: Source,
    found: Arc<ArcSwap<Vec<Found>>>,
    task: AbortHandle,
}

/// Where the endpoints of a pool come from.
#[derive(Clone, PartialEq)]
struct Source {
    discovery: Discovery,
    /// For replicas on this machine.
    target: Option<Target>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source {
    fn of(pool: &Pool) -> Option<Self> {
        let discovery = pool.discovery.clone()?;
        let is_here = discovery == Discovery::Replicas;
        let target = pool.autoscale.as_ref().filter(|_| is_here).map(|autoscale| autoscale.target.clone());
        Some(Self { discovery, target })
    }

    /// Returns what `found` means under this source, when the old one found the same things by other settings.
    fn translate(&self, old: &Self, found: &[Found]) -> Vec<Found> {
        match (&old.discovery, &self.discovery) {
            (Discovery::Dns(old), Discovery::Dns(new)) if old.host == new.host => {
                let moved = |found: &Found| match found.address {
                    Address::Ip(address) => Found::at(SocketAddr::new(address.ip(), new.port)),
                    _ => found.clone(),
                };
                found.iter().map(moved).collect()
            }
            (Discovery::Kubernetes(old), Discovery::Kubernetes(new))
                if old.service == new.service && old.namespace == new.namespace =>
            {
                found.to_vec()
            }
            (Discovery::Replicas, Discovery::Replicas) => found.to_vec(),
            _ => Vec::new(),
        }
    }
}

impl Followers {
    /// Returns the endpoints of `pool` that are known from before.
    pub(super) fn known(&self, pool: &Pool) -> Vec<Found> {
        let (Some(source), Some(old)) = (Source::of(pool), self.0.get(&pool.name)) else { return Vec::new() };
        source.translate(&old.source, &old.found.load())
    }
}

impl Registry {
    /// Starts to follow new sources and stops to follow old ones.
    pub(super) fn follow(self: &Arc<Self>, followers: &mut Followers, world: &World) {
        followers.0.retain(|name, _| world.pools.get(name).is_some_and(|pool| pool.model.discovery.is_some()));
        for (name, pool) in &world.pools {
            let Some(source) = Source::of(&pool.model) else { continue };
            if followers.0.get(name).is_some_and(|old| old.source == source) {
                continue;
            }
            let found = Arc::new(ArcSwap::from_pointee(followers.known(&pool.model)));
            let Some(watch) = discovery::watch(&pool.model, &self.sources) else { continue };
            let task = tokio::spawn(self.clone().follow_source(name.clone(), watch, found.clone())).abort_handle();
            followers.0.insert(name.clone(), Follower { source, found, task });
        }
    }

    /// Hands every change of a source to its pool; ended by its [`Follower`].
    async fn follow_source(self: Arc<Self>, name: Id, mut watch: Watch, known: Arc<ArcSwap<Vec<Found>>>) {
        loop {
            if let Some(found) = watch.current()
                && **known.load() != found
            {
                known.store(Arc::new(found.clone()));
                self.set_found(&name, &found).await;
            }
            if !watch.changed().await {
                return;
            }
        }
    }

    async fn set_found(&self, name: &Id, found: &[Found]) {
        let _one_change_at_a_time = self.changing.lock().await;
        let Some(world) = self.world() else { return };
        let Some(pool) = world.pools.get(name) else { return };
        match members::build(&pool.model, found, pool.tls.as_ref(), Some(&pool.members.load())) {
            Ok(members) => {
                info!(pool = %name, endpoints = members.set.len(), "Members changed.");
                pool.keeper.look_after(pool, &members, &self.outside);
                pool.members.store(Arc::new(members));
                self.crew.post_all(|done| Command::Members(name.clone(), done)).await;
                pool.open_queue();
                self.tell(&world);
            }
            Err(error) => warn!(pool = %name, %error, "Discovered endpoints cannot be used."),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Dns;

    fn dns(host: &str, port: u16) -> Source {
        let (min_interval, max_interval) = (Duration::from_secs(5), Duration::from_secs(60));
        Source { discovery: Discovery::Dns(Dns { host: host.to_owned(), port, min_interval, max_interval }), target: None }
    }

    fn at(address: &str) -> Found {
        Found::at(address.parse().unwrap())
    }

    #[test]
    fn an_edit_of_the_port_keeps_the_addresses() {
        let found = [at("10.0.0.1:80"), at("[::1]:80")];
        let moved = dns("agents", 81).translate(&dns("agents", 80), &found);
        assert_eq!(moved, [at("10.0.0.1:81"), at("[::1]:81")]);
    }

    #[test]
    fn another_name_begins_with_nothing() {
        assert_eq!(dns("tools", 80).translate(&dns("agents", 80), &[at("10.0.0.1:80")]), []);
        let replicas = Source { discovery: Discovery::Replicas, target: None };
        assert_eq!(replicas.translate(&dns("agents", 80), &[at("10.0.0.1:80")]), []);
    }
}
