//! Computes a decision again. Pure.

use super::entry::Entry;
use crate::autoscale::{Decision, decide};

/// What is decided now differs from what was decided then.
#[derive(Clone, Debug, thiserror::Error)]
#[error("decision {id}: {field} was {then}, and is {now} when it is decided again")]
pub struct Difference {
    /// The entry.
    pub id: u64,
    /// The first field that differs.
    pub field: String,
    /// What it was, as JSON.
    pub then: String,
    /// What it is now, as JSON.
    pub now: String,
}

/// Decides again from what an entry says, and compares every bit.
///
/// # Errors
/// When something differs: the code has changed since, or the decision followed from something that the entry does not say.
pub fn replay(entry: &Entry) -> Result<(), Box<Difference>> {
    let (now, _) = decide(&entry.terms, &entry.input, &entry.state);
    compare(entry.id, &entry.decision, &now)
}

/// Compares by JSON, which tells numbers apart by their bits (0 and -0 too), as `==` does not.
fn compare(id: u64, then: &Decision, now: &Decision) -> Result<(), Box<Difference>> {
    // Every decision is a map of plain values, so there is always JSON of it.
    let fields = |decision: &Decision| match serde_json::to_value(decision) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (then, now) = (fields(then), fields(now));
    for (field, then) in then {
        let (then, now) = (then.to_string(), now.get(&field).map_or_else(String::new, ToString::to_string));
        if then != now {
            return Err(Box::new(Difference { id, field, then, now }));
        }
    }
    Ok(())
}
