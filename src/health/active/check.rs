//! One check: the dial, the deadline over the whole, and the rules that every kind of check shares.

use std::time::Duration;

use tokio::time::timeout;

use super::{grpc, http, tcp};
use crate::health::verdict::{Checked, Finding};
use crate::kit::clock;
use crate::model::{Address, Health, Probe};
use crate::upstream::{Lookup, Target};

/// A check of a day is one without an answer.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How much of an answer's body is read: a health page, not a download.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// An answer that is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Good {
    /// What was answered.
    pub(super) message: String,
    /// What the endpoint says of itself.
    pub(super) says: Says,
}

/// What an endpoint says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing else than that it is well.
    Well,
    /// That it is degraded.
    Degraded,
}

/// Asks `target` whether it is well; ends within `health.timeout`.
///
/// Cancel safe: leaves nothing behind.
pub(in crate::health) async fn check(health: &Health, target: &Target, lookup: &Lookup) -> Checked {
    let started = clock::now();
    let limit = health.timeout.min(MAX_WAIT);
    let asking = async {
        match &health.probe {
            Probe::Http(probe) => http::ask(probe, target, lookup, limit).await,
            Probe::Tcp => tcp::ask(target, lookup, limit).await,
            Probe::Grpc { service } => grpc::ask(service, target, lookup, limit).await,
        }
    };
    let found = timeout(limit, asking).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")));
    judge(found, health.degraded_above, clock::now().since(started))
}

fn judge(found: Result<Good, String>, degraded_above: Option<Duration>, took: Duration) -> Checked {
    match found {
        Err(message) => Checked::new(Finding::Bad, message, took),
        Ok(good) => match degraded_above.filter(|&limit| took > limit) {
            Some(limit) => {
                let message = format!("slow: {}ms, more than {limit:?}; {}", took.as_millis(), good.message);
                Checked::new(Finding::Degraded, message, took)
            }
            None if good.says == Says::Degraded => Checked::new(Finding::Degraded, good.message, took),
            None => Checked::new(Finding::Ok, good.message, took),
        },
    }
}

/// Returns what is sent as `Host` to `address` when nobody names another.
pub(super) fn host(address: &Address) -> String {
    match address {
        Address::Ip(_) | Address::Name { .. } => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    }
}
