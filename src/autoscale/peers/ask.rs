//! Asks the peers, again and again, while this gateway leads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::letter::{Instruction, Report};
use super::roll::{Roll, Word};
use super::sum::{Others, Sum};
use crate::autoscale::signal::Observation;
use crate::kit::clock::{self, Tick};
use crate::model::{Id, Secret};
use crate::upstream::Lookup;
use crate::upstream::once::Site;

/// The page of the admin server that peers ask.
pub const PAGE: &str = "/api/v1/peers/exchange";

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most that a peer may answer, in bytes: a thousand pools.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// The peers of this gateway and what they said.
pub struct Peers {
    /// The name of this gateway.
    pub identity: String,
    service: (String, u16),
    token: Mutex<Option<Secret>>,
    lookup: Lookup,
    heard: Mutex<Heard>,
}

/// What peers said since this gateway leads.
#[derive(Default)]
struct Heard {
    pools: BTreeMap<Id, Others>,
    roll: Roll,
    has_complained: bool,
}

/// Why a peer has said nothing.
enum Silence {
    /// It cannot be reached.
    Absent(String),
    /// It answers, but not this.
    Refuses(String),
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("identity", &self.identity).field("service", &self.service).finish_non_exhaustive()
    }
}

impl Peers {
    /// Peers whose admin servers are behind the name and port of `service`, and take `token`.
    pub fn new(identity: String, service: (String, u16), token: Option<Secret>, lookup: Lookup) -> Self {
        Self { identity, service, token: Mutex::new(token), lookup, heard: Mutex::default() }
    }

    /// Tells every peer `instruction`, and keeps what they answer of `pools`. Never fails: who does not answer is missed.
    pub async fn ask(&self, instruction: &Instruction, pools: &[Id]) {
        let addresses = match (self.lookup)(&self.service.0).await {
            Ok(addresses) => addresses,
            Err(error) => return debug!(service = self.service.0, %error, "Peers cannot be found."),
        };
        let Ok(letter) = serde_json::to_vec(instruction) else { return };
        let peers: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::new(*ip, self.service.1)).collect();
        let answers = join_all(peers.iter().map(|peer| self.ask_one(*peer, letter.clone()))).await;
        let word = |answer: &Result<Report, Silence>| match answer {
            Ok(_) => Word::Said,
            Err(Silence::Refuses(_)) => Word::Refuses,
            Err(Silence::Absent(_)) => Word::Absent,
        };
        let answered: Vec<Word> = answers.iter().map(word).collect();
        for answer in answers {
            match answer {
                Ok(report) if report.gateway == self.identity => {}
                Ok(report) => self.hear(&report, instruction, pools, clock::now()),
                // It is there, and serves who knows whom.
                Err(Silence::Refuses(error)) => self.complain(&error),
                Err(Silence::Absent(error)) => debug!(error, "A peer does not answer."),
            }
        }
        let mut heard = self.lock();
        heard.has_complained &= answered.contains(&Word::Refuses);
        heard.roll.call(peers.into_iter().zip(answered), clock::now());
    }

    /// Forgets what was heard: this gateway does not lead, and hears nothing more.
    pub fn forget(&self) {
        *self.lock() = Heard::default();
    }

    /// Adds up what this gateway and its peers see of `pool`.
    pub fn add_to(&self, pool: &Id, own: &Observation, now: Tick) -> Sum {
        let mut heard = self.lock();
        let sum = heard.pools.entry(pool.clone()).or_default().add_to(own, now);
        if heard.roll.is_complete(now) {
            return sum;
        }
        // Somebody may be there who gives requests to any replica.
        Sum { draining: Some(BTreeSet::new()), is_complete: false, ..sum }
    }

    /// Takes another token.
    pub fn set_token(&self, token: Option<Secret>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    async fn ask_one(&self, address: SocketAddr, letter: Vec<u8>) -> Result<Report, Silence> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asking = async {
            let site = Site::new(&format!("http://{address}"), token.as_ref()).map_err(|error| error.to_string())?;
            let mut request = site.request(Method::POST, PAGE, letter.into())?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            site.ask(request, &self.lookup, PATIENCE, MAX_ANSWER).await
        };
        let answer = timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        let answer = answer.map_err(Silence::Absent)?;
        let status = answer.head.status;
        if !status.is_success() {
            return Err(Silence::Refuses(format!("{address} answers {status}")));
        }
        serde_json::from_slice(&answer.body).map_err(|error| Silence::Refuses(format!("{address} answers something else: {error}")))
    }

    /// Says once that somebody refuses, until everybody answers again.
    fn complain(&self, error: &str) {
        if !std::mem::replace(&mut self.lock().has_complained, true) {
            warn!(
                service = self.service.0,
                error, "A gateway does not talk to this one: shared pools do not shrink. Do all have the same admin token?"
            );
        }
    }

    fn hear(&self, report: &Report, instruction: &Instruction, pools: &[Id], now: Tick) {
        let none = BTreeSet::new();
        let heard = &mut self.lock().pools;
        heard.retain(|pool, _| pools.contains(pool));
        for pool in pools {
            let draining = instruction.draining.get(pool).unwrap_or(&none);
            heard.entry(pool.clone()).or_default().hear(&report.gateway, Others::hear_of(pool, report, draining), now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        // Each entry is changed by itself.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
