//! Finds the route of a request, and applies what the route says about the request itself. Pure.
//!
//! [`Table`] is built once per listener and reload; [`Table::find`] answers for each request, most specific route first, without
//! allocating. `docs/routing.md` describes the order for users. [`Rewriter`], [`Rotation`] and [`location`] are the parts of a
//! route's action that need no socket. Nothing here knows what an endpoint is, sends anything or makes an answer.

mod explain;
mod host;
mod leaf;
mod parameter;
mod path;
mod pattern;
mod predicate;
mod redirect;
mod require;
mod rewrite;
mod split;
mod table;

pub use explain::{Candidate, Condition, Explanation, Verdict};
pub use parameter::{cookie, query_value};
pub use pattern::RouteError;
pub use redirect::location;
pub use require::{REQUIRE, RequireError, required};
pub use rewrite::Rewriter;
pub use split::Rotation;
pub use table::{Matched, Miss, Query, Table};
