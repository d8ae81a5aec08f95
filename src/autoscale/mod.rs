//! How many replicas each pool has: signals, policies, forecast, decision, actuator.
//!
//! The chain is one loop for each pool (`run`). What decides is pure: [`decide()`] takes what was observed, the terms of the config, the state
//! from before, and the time, and says how many replicas there should be and why; the ledger keeps all of these, so that every decision can be
//! computed again. What is deliberately not here: how a platform is spoken to (`platform`), and how new replicas become endpoints (`discovery`).

mod decide;
pub mod forecast;
mod foresight;
mod lead;
mod ledger;
mod patience;
mod peers;
pub mod report;
mod retreat;
mod run;
mod running;
mod sampler;
mod scaling;
mod schedule;
mod shop;
mod signal;
pub mod simulate;
mod starts;
mod turn;

pub use decide::{
    Clamp, Decision, Demand, Flow, Input, Limit, Look, Order, Ours, Outlook, Panicking, Reading, Replicas, State, Trigger, Verdict,
    Vote, Wanted, decide,
};
pub use foresight::Foresight;
pub use lead::{Deadline, Leadership, LeaseStanding};
pub use ledger::{Carried, Difference, Draft, Entry, Ledger, Upshot, is_news, replay};
pub use peers::{Instruction, Others, PAGE as PEERS_PAGE, Peers, PoolReport, Report as PeerReport, Sum};
pub use retreat::{Candidate, Leaving, Moves, Retreat};
pub use run::Autoscaler;
pub use scaling::{Counts, Ordered, Scaling, Standing, Trouble};
pub use schedule::{ScheduleError, Schedules};
pub use shop::{Records, Tools};
pub use signal::{Collector, Extra, Gauge, Observation};
