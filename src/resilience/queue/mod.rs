//! Where requests wait for a slot, bound to nobody until one is free.
//!
//! [`Line`] is the order (pure), [`Pace`] the measured rate at which it moves (pure), [`Desk`] the two under one short mutex with the
//! futures of those who wait. [`SlotQueue`] hands out the slots of a pool's endpoints; a bulkhead uses the same desk for its own. Timers are
//! deliberately not here: whoever waits brings the deadline.

mod desk;
mod grant;
mod line;
mod pace;
mod slots;

pub use desk::{Desk, Entry, Figures, Issuer, Offer, Refusal, Wait, Waits};
pub use grant::Grant;
pub use line::{Line, Rank, Trimmed};
pub use pace::{Pace, advice};
pub use slots::{SlotQueue, Want};
