//! Asks the peers, again and again, while this gateway leads.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::letter::{Instruction, Report};
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
    token: Option<Secret>,
    lookup: Lookup,
    heard: Mutex<BTreeMap<Id, Others>>,
    /// Whether everybody whom the service names answered in the last round.
    is_whole: AtomicBool,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("identity", &self.identity).field("service", &self.service).finish_non_exhaustive()
    }
}

impl Peers {
    /// Peers whose admin servers are behind the name and port of `service`, and take `token`.
    pub fn new(identity: String, service: (String, u16), token: Option<Secret>, lookup: Lookup) -> Self {
        Self { identity, service, token, lookup, heard: Mutex::default(), is_whole: AtomicBool::new(false) }
    }

    /// Tells every peer `instruction`, and keeps what they answer of `pools`. Never fails: who does not answer is missed by [`Others`].
    pub async fn ask(&self, instruction: &Instruction, pools: &[Id]) {
        let addresses = match (self.lookup)(&self.service.0).await {
            Ok(addresses) => addresses,
            Err(error) => {
                self.is_whole.store(false, Relaxed);
                return debug!(service = self.service.0, %error, "Peers cannot be found.");
            }
        };
        let Ok(letter) = serde_json::to_vec(instruction) else { return };
        let asked = addresses.iter().map(|ip| self.ask_one(SocketAddr::new(*ip, self.service.1), letter.clone()));
        let mut is_whole = true;
        for answer in join_all(asked).await {
            match answer {
                Ok(report) if report.gateway == self.identity => {}
                Ok(report) => self.hear(&report, pools, clock::now()),
                Err(error) => {
                    is_whole = false;
                    debug!(error, "A peer does not answer.");
                }
            }
        }
        if self.is_whole.swap(is_whole, Relaxed) && !is_whole {
            warn!(service = self.service.0, "Not every gateway answers: shared pools do not shrink until all of them do.");
        }
    }

    /// Adds up what this gateway and its peers see of `pool`.
    pub fn add_to(&self, pool: &Id, own: &Observation, now: Tick) -> Sum {
        let sum = self.lock().entry(pool.clone()).or_default().add_to(own, now);
        Sum { is_complete: sum.is_complete && self.is_whole.load(Relaxed), ..sum }
    }

    async fn ask_one(&self, address: SocketAddr, letter: Vec<u8>) -> Result<Report, String> {
        let site = Site::new(&format!("http://{address}"), self.token.as_ref()).map_err(|error| error.to_string())?;
        let mut request = site.request(Method::POST, PAGE, letter.into())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answering = site.ask(request, &self.lookup, PATIENCE, MAX_ANSWER);
        let answer = timeout(PATIENCE, answering).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))?;
        let status = answer.head.status;
        if !status.is_success() {
            return Err(format!("{address} answers {status}"));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("{address} answers something else: {error}"))
    }

    fn hear(&self, report: &Report, pools: &[Id], now: Tick) {
        let mut heard = self.lock();
        heard.retain(|pool, _| pools.contains(pool));
        for pool in pools {
            heard.entry(pool.clone()).or_default().hear(&report.gateway, Others::hear_of(pool, report), now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Others>> {
        // Each entry is changed by itself.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
