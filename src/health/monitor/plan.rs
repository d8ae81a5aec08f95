//! What is checked, and how.

use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::health::heal::{Webhook, WebhookError};
use crate::health::verdict::First;
use crate::model::Health;
use crate::upstream::Target;

/// How the endpoints of a pool are checked; everything that can fail has been done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) health: Arc<Health>,
    pub(super) webhook: Option<Arc<Webhook>>,
}

/// An endpoint that is checked.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// How it is reached.
    pub target: Target,
    /// Whether it is used before its first check; an endpoint that has been healthy already is, whatever this says.
    pub first: First,
}

impl Plan {
    /// Prepares checks as `health` says.
    ///
    /// # Errors
    /// When its webhook cannot be called as configured.
    pub fn new(health: Health) -> Result<Self, WebhookError> {
        let webhook = health.heal.as_ref().and_then(|heal| Some(Webhook::new(heal.webhook.as_deref()?, heal.token.as_ref())));
        let webhook = webhook.transpose()?.map(Arc::new);
        Ok(Self { health: Arc::new(health), webhook })
    }
}
