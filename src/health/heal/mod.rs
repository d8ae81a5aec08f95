//! What is done about an endpoint that stays down: a call to a webhook, once for each cooldown.
//!
//! Deliberately not here: restarting anything. Whoever answers the webhook owns the replica and knows how.

mod due;
mod webhook;

pub(super) use due::Healer;
pub(super) use webhook::Event;
pub use webhook::{Webhook, WebhookError};
