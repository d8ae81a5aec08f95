//! Replicas on this machine or engine, as endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::merge::Found;
use super::watch::Sender;
use crate::model::{Id, Target};
use crate::platform::{Phase, Platforms, Replica};

/// How long it takes until what runs the replicas is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the replicas of `pool` until it is dropped.
pub(super) async fn follow(pool: Id, target: Target, platforms: Arc<Platforms>, sender: Sender) {
    let local = loop {
        match platforms.local(&pool, &target) {
            Ok(local) => break local,
            // Such as a folder that another Tidegate still holds, which is about to end.
            Err(error) => warn!(%pool, %error, "Replicas cannot be found yet."),
        }
        sleep(RETRY).await;
    };
    let mut replicas = local.replicas();
    loop {
        let found = found(&replicas.borrow_and_update());
        sender.send_if_modified(|current| {
            let is_news = current.as_ref() != Some(&found);
            if is_news {
                *current = Some(found);
            }
            is_news
        });
        if replicas.changed().await.is_err() {
            return;
        }
    }
}

/// Those that serve, and those that are leaving: they keep what runs on them.
fn found(replicas: &[Replica]) -> Vec<Found> {
    let endpoint = |replica: &Replica| {
        let is_leaving = match replica.phase {
            Phase::Ready => false,
            Phase::Stopping => true,
            Phase::Starting | Phase::Failed => return None,
        };
        Some(Found { id: Some(replica.name.clone()), address: replica.address.clone()?, zone: None, is_leaving })
    };
    replicas.iter().filter_map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Usage;

    fn replica(name: &str, phase: Phase) -> Replica {
        let address = Some("127.0.0.1:80".parse().unwrap());
        Replica { name: name.parse().unwrap(), address, phase, age: Duration::ZERO, usage: Usage::default() }
    }

    #[test]
    fn replicas_that_serve_or_leave_are_endpoints() {
        let phases = [("a", Phase::Starting), ("b", Phase::Ready), ("c", Phase::Stopping), ("d", Phase::Failed)];
        let found = found(&phases.map(|(name, phase)| replica(name, phase)));
        let shown: Vec<_> = found.iter().map(|found| (found.id().unwrap().to_string(), found.is_leaving)).collect();
        assert_eq!(shown, [("b".to_owned(), false), ("c".to_owned(), true)]);
    }

    #[test]
    fn a_replica_without_an_address_is_not_found() {
        assert_eq!(found(&[Replica { address: None, ..replica("a", Phase::Ready) }]), []);
    }
}
