//! The client: how the API server is found, and one call with its bounds.
//!
//! Nothing is read or connected before the first call; a kubeconfig that comes later is found. A call is never sent twice from here: who asked
//! knows what a second time means.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::Uri;
use http_body_util::{BodyExt, Limited};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use kube::core::WatchEvent;
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::failure::CallError;
use super::path::Ask;

/// The largest answer: 20,000 pods of a few kilobytes each.
const MAX_ANSWER: usize = 64 << 20;

/// How much earlier than it ends a client's certificate is fetched anew.
const CERTIFICATE_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// Events of one kind of object.
pub(super) type Events<K> = Pin<Box<dyn Stream<Item = Result<WatchEvent<K>, kube::Error>> + Send>>;

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a call and its whole answer.
    pub call: Duration,
    /// For how long one watch is believed before everything is listed again: a server that is ending keeps watches open and silent for a minute.
    pub watch: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), call: Duration::from_secs(5), watch: Duration::from_secs(30) }
    }
}

/// One cluster, as its API server is reached.
pub struct Cluster {
    source: Source,
    timeouts: Timeouts,
    client: Mutex<Option<Client>>,
}

/// Where the address of the API server and the credentials come from.
enum Source {
    /// `KUBECONFIG`, or the environment of a pod, or the usual kubeconfig.
    Environment,
    /// These settings.
    Config(Box<Config>),
    /// A client that is there already.
    Client,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings hold credentials.
        f.debug_struct("Cluster").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::from_environment()
    }
}

impl Cluster {
    /// The cluster that `KUBECONFIG` names, or the one that this process is a pod of, or that of the usual kubeconfig.
    pub fn from_environment() -> Self {
        Self::new(Source::Environment, None)
    }

    /// The cluster at `url`, without credentials; names without a namespace are in `default`.
    pub fn at(url: Uri) -> Self {
        Self::with_config(Config::new(url))
    }

    /// The cluster of these settings.
    pub fn with_config(config: Config) -> Self {
        Self::new(Source::Config(Box::new(config)), None)
    }

    /// The cluster that `client` speaks to.
    pub fn with_client(client: Client) -> Self {
        Self::new(Source::Client, Some(client))
    }

    fn new(source: Source, client: Option<Client>) -> Self {
        Self { source, timeouts: Timeouts::default(), client: Mutex::new(client) }
    }

    /// Waits for so long instead.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns how long is waited for what.
    pub const fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Returns the namespace that is meant when `named` names none: that of this pod, or of the kubeconfig's context.
    ///
    /// # Errors
    /// When the cluster cannot even be addressed.
    pub async fn namespace(&self, named: Option<&str>) -> Result<String, CallError> {
        match named {
            Some(named) => Ok(named.to_owned()),
            None => Ok(self.client().await?.default_namespace().to_owned()),
        }
    }

    /// Sends a request and reads its answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, CallError> {
        self.call_within(ask, self.timeouts.call).await
    }

    /// Sends a request and reads its answer, all within `limit`.
    pub(super) async fn call_within<T: DeserializeOwned>(&self, ask: Ask, limit: Duration) -> Result<T, CallError> {
        let request = ask.request()?;
        let bytes = bounded(limit, self.exchange(request)).await?;
        serde_json::from_slice(&bytes).map_err(|error| CallError::Unreachable(format!("the answer cannot be understood: {error}")))
    }

    async fn exchange(&self, request: http::Request<Vec<u8>>) -> Result<Bytes, CallError> {
        let client = self.client().await?;
        // The client logs every failure as an error; whoever called says what it means.
        let response = client.send(request.map(Body::from)).with_subscriber(Dispatch::none()).await.map_err(unreachable)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().with_subscriber(Dispatch::none());
        let bytes = body.await.map_err(|error| CallError::Unreachable(chain(&*error)))?.to_bytes();
        if head.status.is_success() { Ok(bytes) } else { Err(CallError::from_answer(head.status, &head.headers, &bytes)) }
    }

    /// Opens a stream of events; how long it may be silent is the caller's to bound.
    pub(super) async fn events<K>(&self, ask: Ask) -> Result<Events<K>, CallError>
    where
        K: DeserializeOwned + Clone + Send + 'static,
    {
        let request = ask.request()?;
        let open = async {
            let client = self.client().await?;
            let events = client.request_events::<K>(request).with_subscriber(Dispatch::none()).await.map_err(unreachable)?;
            Ok(Box::pin(events) as Events<K>)
        };
        bounded(self.timeouts.call, open).await
    }

    async fn client(&self) -> Result<Client, CallError> {
        let known = self.lock().clone();
        let mut config = match (&self.source, known) {
            (Source::Client, Some(client)) => return Ok(client),
            (_, Some(client)) if is_good(&client) => return Ok(client),
            (Source::Client, None) => return Err(CallError::Unreachable("there is no client".to_owned())),
            (Source::Config(config), _) => (**config).clone(),
            (Source::Environment, _) => from_environment().await?,
        };
        config.connect_timeout = Some(self.timeouts.connect);
        // A retry by the client would hide that a server is busy, and for how long.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(unreachable)?;
        *self.lock() = Some(client.clone());
        Ok(client)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        // It is replaced whole.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether the certificate of a client, if it has one that ends, is good for another call.
fn is_good(client: &Client) -> bool {
    client.valid_until().is_none_or(|until| until.duration_since(Timestamp::now()) > CERTIFICATE_MARGIN)
}

async fn from_environment() -> Result<Config, CallError> {
    let is_set = |name| std::env::var_os(name).is_some();
    if is_set("KUBERNETES_SERVICE_HOST") && !is_set("KUBECONFIG") {
        return Config::incluster().map_err(|error| CallError::Unreachable(chain(&error)));
    }
    Config::from_kubeconfig(&kube::config::KubeConfigOptions::default())
        .await
        .map_err(|error| CallError::Unreachable(chain(&error)))
}

async fn bounded<T>(limit: Duration, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    timeout(limit, call).await.unwrap_or_else(|_| Err(CallError::Unreachable(format!("no answer within {limit:?}"))))
}

/// Says what became of a call that the client could not make.
pub(super) fn unreachable(error: kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => CallError::from_status(&status),
        other => CallError::Unreachable(chain(&other)),
    }
}

/// Writes an error with its causes, which say more than itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
