//! A name whose every address is an endpoint, looked up again and again.
//!
//! A look-up that fails changes nothing, for the family (A or AAAA) that failed. That a name has no address at all is believed when
//! it is said twice in a row: some name servers say so for a moment while they restart.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::model::Dns;

use super::dns::{Addresses, ResolveError, Resolver};
use super::merge::Found;
use super::watch::Sender;

/// How many answers in a row must say that there is no address before it is believed.
const EMPTY_ANSWERS: u32 = 2;
/// A floor under `min_interval`, so that a zero in the file does not spin.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What is believed of a name.
#[derive(Debug, Default)]
struct Belief {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    empty_answers: u32,
    known: bool,
}

/// Looks `dns.host` up until it is dropped: once its time to live has passed, between `min_interval` and `max_interval`.
pub(super) async fn follow(dns: Dns, resolver: Resolver, sender: Sender) {
    let mut belief = Belief::default();
    loop {
        let answer = resolver.query(&dns.host).await;
        let pause = answer.ttl;
        if let Err(error) = belief.update(answer) {
            warn!(name = %dns.host, %error, "Name cannot be resolved; its last addresses stay in use.");
        }
        sender.send_if_modified(|current| {
            let next = belief.addresses();
            let found = next.as_ref().map(|next| next.iter().map(|ip| Found::at(SocketAddr::new(*ip, dns.port))).collect());
            let changed = *current != found;
            if changed {
                info!(name = %dns.host, addresses = ?next, "Addresses of a name have changed.");
                *current = found;
            }
            changed
        });
        sleep(pause.max(dns.min_interval).min(dns.max_interval).max(MIN_PAUSE)).await;
    }
}

impl Belief {
    /// Takes an answer in; the error of a family that failed.
    fn update(&mut self, answer: Addresses) -> Result<(), ResolveError> {
        if answer.is_empty() {
            self.empty_answers += 1;
            if self.empty_answers >= EMPTY_ANSWERS {
                *self = Self { empty_answers: EMPTY_ANSWERS, known: true, ..Self::default() };
            }
            return Ok(());
        }
        self.empty_answers = 0;
        let v4 = accept(&mut self.v4, answer.v4);
        let v6 = accept(&mut self.v6, answer.v6);
        self.known |= !(self.v4.is_empty() && self.v6.is_empty());
        v4.and(v6)
    }

    fn addresses(&self) -> Option<Vec<IpAddr>> {
        // IPv4 sorts before IPv6, and each family is sorted.
        self.known.then(|| self.v4.iter().chain(&self.v6).copied().collect())
    }
}

fn accept(known: &mut Vec<IpAddr>, answer: Result<Vec<IpAddr>, ResolveError>) -> Result<(), ResolveError> {
    match answer {
        Ok(found) => *known = found,
        Err(ResolveError::NoAddress(_)) => known.clear(),
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn none() -> Result<Vec<IpAddr>, ResolveError> {
        Err(ResolveError::NoAddress("a".into()))
    }

    fn failed() -> Result<Vec<IpAddr>, ResolveError> {
        Err(ResolveError::Failed { name: "a".into(), detail: "timeout".into() })
    }

    fn answer(v4: Result<Vec<IpAddr>, ResolveError>, v6: Result<Vec<IpAddr>, ResolveError>) -> Addresses {
        Addresses { v4, v6, ttl: Duration::from_secs(1) }
    }

    #[test]
    fn a_family_that_fails_keeps_its_addresses() {
        let mut belief = Belief::default();
        assert!(belief.update(answer(Ok(vec![ip("10.0.0.1")]), Ok(vec![ip("fd00::1")]))).is_ok());
        assert!(belief.update(answer(Ok(vec![ip("10.0.0.2")]), failed())).is_err());
        assert_eq!(belief.addresses(), Some(vec![ip("10.0.0.2"), ip("fd00::1")]));
        assert!(belief.update(answer(failed(), none())).is_err());
        assert_eq!(belief.addresses(), Some(vec![ip("10.0.0.2")]));
    }

    #[test]
    fn no_address_is_believed_when_said_twice() {
        let mut belief = Belief::default();
        assert!(belief.update(answer(Ok(vec![ip("10.0.0.1")]), none())).is_ok());
        assert!(belief.update(answer(none(), none())).is_ok());
        assert_eq!(belief.addresses(), Some(vec![ip("10.0.0.1")]));
        assert!(belief.update(answer(failed(), failed())).is_err());
        assert!(belief.update(answer(none(), none())).is_ok());
        assert_eq!(belief.addresses(), Some(vec![ip("10.0.0.1")]), "a failure between the two starts the count anew");
        assert!(belief.update(answer(none(), none())).is_ok());
        assert_eq!(belief.addresses(), Some(vec![]));
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let mut belief = Belief::default();
        assert!(belief.update(answer(failed(), failed())).is_err());
        assert_eq!(belief.addresses(), None);
    }
}
