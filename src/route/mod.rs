//! Which route takes a request, and what that route changes: the table, weighted splits, rewrites, redirects, required capabilities.
//!
//! Pure: no clock, no randomness, no socket, no lock. Nothing here forwards or answers; the caller keeps what it has prebuilt for
//! each route in a list with the indexes that [`Table::find`] returns. `docs/routing.md` tells users the same rules.

mod bucket;
mod explain;
mod map;
mod paths;
mod predicate;
mod redirect;
mod require;
mod rewrite;
mod split;
mod table;
#[cfg(test)]
mod tests;

pub use explain::{Candidate, Condition, Criterion, Explanation, Verdict};
pub use redirect::{LocationError, Origin, Redirector};
pub use require::{Required, RequiredError};
pub use rewrite::{HeaderEdit, PrefixRewrite, RewriteError};
pub use split::{Splitter, SplitterError};
pub use table::{Matched, Miss, Query, RouteError, Table};
