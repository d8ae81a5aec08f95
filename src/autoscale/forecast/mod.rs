//! What a pool will have to do: forecasts of its signals, how far they can be trusted, and how many replicas follow from them.
//!
//! The chain: a [`Series`] has its holes filled, the models hold a [`Challenge`] over the last day, the winner makes the [`Forecast`], and a
//! record of what was said and what came demotes a forecast that was worse than none. [`outlook()`] turns forecasts into replicas.
//! Everything is pure and may take seconds: whoever calls [`Forecaster::update`] does so on a thread that may block. What is deliberately not
//! here: where the past comes from (`telemetry`), and what is done with an outlook (`decide`).

mod challenge;
mod forecaster;
mod model;
mod outlook;
mod record;
mod series;
#[cfg(test)]
mod testing;

pub use challenge::{Challenge, Score, Trial};
pub use forecaster::{Context, Forecaster};
pub use model::{Model, Run, Seasons};
pub use outlook::{Errors, Forecast, Step, outlook};
pub use record::{Lately, Made, Record};
pub use series::{Filled, MIN_POINTS, Refusal, STEP, Series};
