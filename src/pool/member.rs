//! One endpoint as one worker sees it: its shared state, this worker's connections to it and this worker's counters.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::endpoint::{Endpoint, Mask};
use crate::message::body::Upload;
use crate::model::{HostHeader, Id};
use crate::resilience::breaker::Breaker;
use crate::resilience::queue::SlotQueue;
use crate::telemetry::metrics::EndpointCounters;
use crate::upstream::Connections;

/// One endpoint as one worker sees it.
#[derive(Debug)]
pub struct Member {
    /// Its pool.
    pub pool: Id,
    /// The state that all workers share.
    pub endpoint: Arc<Endpoint>,
    pub(super) connections: Rc<Connections<Upload>>,
    pub(super) counters: Arc<EndpointCounters>,
    pub(super) breaker: Arc<Breaker>,
    /// Where requests wait for a slot of the pool.
    pub(super) queue: Arc<SlotQueue>,
    /// What replaces the client's `Host`.
    pub(super) host: Option<HeaderValue>,
}

impl Member {
    /// Tells whether it offers what is required.
    pub(super) fn suits(&self, required: Mask) -> bool {
        self.endpoint.mask().offers(required)
    }

    /// What the pool sends as `Host` to `endpoint`; `None` keeps the client's.
    pub(super) fn host_for(endpoint: &Endpoint, setting: &HostHeader) -> Option<HeaderValue> {
        match setting {
            HostHeader::Client => None,
            HostHeader::Endpoint => HeaderValue::try_from(endpoint.spec.address.to_string()).ok(),
            HostHeader::Fixed(host) => HeaderValue::try_from(host).ok(),
        }
    }
}
