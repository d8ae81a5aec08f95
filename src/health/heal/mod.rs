//! What is done about an endpoint that stays down: a call to a webhook, a restart of its replica; once for each cooldown.
//!
//! Deliberately not here: how a replica is restarted. Whoever answers the webhook, or made the [`Repair`], knows.

mod due;
mod outside;
mod webhook;

pub(super) use due::Healer;
pub use outside::{Outside, Repair};
pub(super) use webhook::Event;
pub use webhook::{Webhook, WebhookError};
