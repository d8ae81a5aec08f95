//! Names to addresses, by the system's own settings: `/etc/resolv.conf`, `/etc/hosts`, `localhost`.
//!
//! Queries run on the control runtime, answers are kept for their time to live and shared by all workers. When a name that was known
//! cannot be resolved any more, its last addresses stay in use: a name server that is down must not take endpoints with it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};
use tracing::warn;

/// The shortest time an answer is kept: a record with no time to live must not mean a query for each connection.
const MIN_KEPT: Duration = Duration::from_secs(1);
/// The longest time an answer is kept: a day-long record must not hide a move for a day.
const MAX_KEPT: Duration = Duration::from_secs(300);
/// How long a failure is kept, and old addresses are used before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How long one family's addresses wait for the other's: some name servers never answer for AAAA, and the connect timeout runs.
const GRACE: Duration = Duration::from_millis(500);
/// Names that are remembered; endpoints come from the file, so this is a guard and not a working limit.
const MAX_NAMES: usize = 10_000;

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name server says that there are none.
    #[error("name {0:?} has no addresses")]
    NoAddress(Box<str>),
    /// There is no answer that can be relied on.
    #[error("name {name:?} cannot be resolved: {detail}")]
    Failed {
        /// The name.
        name: Box<str>,
        /// What happened.
        detail: Box<str>,
    },
    /// The control runtime has stopped.
    #[error("name {0:?} cannot be resolved: stopping")]
    Stopped(Box<str>),
    /// The system's settings cannot be read.
    #[error("the system's name server settings cannot be used: {0}")]
    System(Box<str>),
}

/// What one look-up yielded: each family's addresses (sorted, each once) or why there are none, and how long they hold.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The A records.
    pub v4: Result<Vec<IpAddr>, ResolveError>,
    /// The AAAA records.
    pub v6: Result<Vec<IpAddr>, ResolveError>,
    /// The shorter time to live.
    pub ttl: Duration,
}

/// Finds addresses of names. Cloning is cheap, clones share what is remembered.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    client: TokioResolver,
    hosts: Hosts,
    names: DashMap<Box<str>, Arc<Name>>,
}

/// What is remembered of a name.
#[derive(Default)]
struct Name {
    known: std::sync::Mutex<Option<Known>>,
    /// Held by the one look-up that runs; the others wait for it.
    asking: Mutex<()>,
}

#[derive(Clone)]
struct Known {
    answer: Result<Arc<[IpAddr]>, ResolveError>,
    until: Instant,
}

impl Resolver {
    /// A resolver with the system's settings, read now; queries run on `runtime`.
    ///
    /// Without settings the name server on this machine is asked, as resolv.conf(5) says: a config that names only IP addresses
    /// must not fail for want of one.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(runtime: Handle) -> Result<Self, ResolveError> {
        let (config, options) = system_conf::read_system_conf().unwrap_or_else(|error| {
            warn!(%error, "Cannot read the name server settings; the name server on this machine is asked.");
            (local_server(), ResolverOpts::default())
        });
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            warn!(%error, "Cannot read the hosts file.");
            Hosts::default()
        });
        Self::with_config(runtime, config, options, hosts)
    }

    /// A resolver with these settings.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn with_config(runtime: Handle, config: ResolverConfig, options: ResolverOpts, hosts: Hosts) -> Result<Self, ResolveError> {
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        // What is remembered, and for how long, is decided here; a second cache below would only hide what a time to live says.
        builder.options_mut().cache_size = 0;
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let client = builder.build().map_err(|error| ResolveError::System(error.to_string().into()))?;
        Ok(Self { inner: Arc::new(Inner { client, hosts, names: DashMap::new() }), runtime })
    }

    /// Finds the addresses of `name`, IPv4 first; at least one. Can be awaited on any runtime.
    ///
    /// Cancel safe: a look-up that has begun goes on for the others that wait for it.
    ///
    /// # Errors
    /// When the name has no address, or cannot be resolved and has never been.
    pub async fn lookup(&self, name: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Some(answer) = self.inner.remembered(name) {
            return answer;
        }
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let owned: Box<str> = name.into();
        // Ends with the query, which has its own timeout; owned by nobody, as others may wait for the same answer.
        self.runtime.spawn(async move {
            let _ = sender.send(inner.ask_once(&owned).await);
        });
        receiver.await.unwrap_or_else(|_| Err(ResolveError::Stopped(name.into())))
    }

    /// Asks for the addresses of `name` now, past everything that is remembered. Must be awaited on the control runtime.
    pub async fn query(&self, name: &str) -> Addresses {
        self.inner.query(name).await
    }
}

impl Inner {
    /// Returns the answer that still holds.
    fn remembered(&self, name: &str) -> Option<Result<Arc<[IpAddr]>, ResolveError>> {
        let entry = self.names.get(name).map(|entry| Arc::clone(&entry))?;
        let known = entry.known();
        known.filter(|known| known.until > Instant::now()).map(|known| known.answer)
    }

    /// Asks, unless somebody else does: then that answer is taken.
    async fn ask_once(&self, name: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        let entry = self.entry(name);
        let _asking = entry.asking.lock().await;
        let before = entry.known();
        if let Some(known) = &before
            && known.until > Instant::now()
        {
            return known.answer.clone();
        }
        let known = settle(name, self.query(name).await, before);
        let answer = known.answer.clone();
        entry.remember(known);
        answer
    }

    fn entry(&self, name: &str) -> Arc<Name> {
        if let Some(entry) = self.names.get(name) {
            return Arc::clone(&entry);
        }
        if self.names.len() >= MAX_NAMES {
            self.names.retain(|_, entry| entry.known().is_some_and(|known| known.until > Instant::now()));
        }
        Arc::clone(&self.names.entry(name.into()).or_default())
    }

    async fn query(&self, name: &str) -> Addresses {
        if let Some(found) = self.in_hosts(name) {
            return found;
        }
        let (mut v4, mut v6) = (pin!(self.client.lookup(name, RecordType::A)), pin!(self.client.lookup(name, RecordType::AAAA)));
        // Both branches are cancel-safe: the other query stays where it is and is waited for next.
        let (v4, v6) = tokio::select! {
            first = &mut v4 => { let second = grace(&first, v6).await; (first, second) }
            first = &mut v6 => { let second = grace(&first, v4).await; (second, first) }
        };
        let ttl = [&v4, &v6].into_iter().flatten().map(remaining).min().unwrap_or(MIN_KEPT);
        Addresses { v4: family(name, v4), v6: family(name, v6), ttl }
    }

    /// Looks in the hosts file: a name that is there, with either family, is not asked for anywhere else.
    fn in_hosts(&self, name: &str) -> Option<Addresses> {
        let asked = DnsName::from_utf8(name).ok()?;
        let look = |kind| self.hosts.lookup_static_host(&Query::query(asked.clone(), kind));
        let (v4, v6) = (look(RecordType::A), look(RecordType::AAAA));
        if v4.is_none() && v6.is_none() {
            return None;
        }
        let none = || Err(ResolveError::NoAddress(name.into()));
        let found = |lookup: Option<Lookup>| lookup.map_or_else(none, |lookup| family(name, Ok(lookup)));
        Some(Addresses { v4: found(v4), v6: found(v6), ttl: MAX_KEPT })
    }
}

impl Name {
    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Known) {
        *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(known);
    }
}

impl Addresses {
    /// Tells whether the name server says, for both families, that there are none.
    pub fn is_empty(&self) -> bool {
        let none = |family: &Result<Vec<IpAddr>, ResolveError>| match family {
            Ok(found) => found.is_empty(),
            Err(error) => matches!(error, ResolveError::NoAddress(_)),
        };
        none(&self.v4) && none(&self.v6)
    }
}

/// Makes of an answer what is remembered: the old addresses stay when nothing better is known.
fn settle(name: &str, found: Addresses, before: Option<Known>) -> Known {
    let empty = found.is_empty();
    let ttl = found.ttl;
    let error = [&found.v4, &found.v6].into_iter().find_map(|family| match family {
        Err(error @ ResolveError::Failed { .. }) => Some(error.clone()),
        _ => None,
    });
    let all: Arc<[IpAddr]> = found.v4.into_iter().chain(found.v6).flatten().collect();
    if !all.is_empty() {
        return Known { answer: Ok(all), until: Instant::now() + ttl.clamp(MIN_KEPT, MAX_KEPT) };
    }
    let until = Instant::now() + RETRY_AFTER;
    let error = error.unwrap_or_else(|| ResolveError::NoAddress(name.into()));
    match before {
        Some(Known { answer: Ok(old), .. }) if !empty => {
            warn!(%name, %error, "Name cannot be resolved; its last addresses stay in use.");
            Known { answer: Ok(old), until }
        }
        _ => Known { answer: Err(error), until },
    }
}

/// Waits for the second family: as long as it takes when the first has nothing, else for a moment.
async fn grace(
    first: &Result<Lookup, NetError>,
    second: impl Future<Output = Result<Lookup, NetError>>,
) -> Result<Lookup, NetError> {
    match first {
        Ok(lookup) if !lookup.answers().is_empty() => timeout(GRACE, second).await.unwrap_or(Err(NetError::Timeout)),
        _ => second.await,
    }
}

fn local_server() -> ResolverConfig {
    ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into())])
}

fn remaining(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(std::time::Instant::now())
}

fn family(name: &str, answer: Result<Lookup, NetError>) -> Result<Vec<IpAddr>, ResolveError> {
    match answer {
        Ok(lookup) => {
            let mut found: Vec<IpAddr> = lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
            found.sort_unstable();
            found.dedup();
            Ok(found)
        }
        Err(error) if error.is_no_records_found() => Err(ResolveError::NoAddress(name.into())),
        Err(error) => Err(ResolveError::Failed { name: name.into(), detail: error.to_string().into() }),
    }
}

#[cfg(test)]
mod tests;
