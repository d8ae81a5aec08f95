//! From the tree to the raw structs, collecting every mistake on the way.
//!
//! serde stops at the first error. Here an error is written down, the node it is about is marked as spoilt, and what holds it is
//! read again as if the node were absent; lists and maps of items do that item by item, so that the work stays in proportion to
//! the size of the file. A required key that is missing because its value was spoilt is not reported a second time.

mod error;
mod log;
mod reader;
mod wrap;

pub(super) use log::Log;
pub(super) use reader::read;
pub(super) use wrap::{At, Entries, FromList, FromText, List, ListOr, Mistake, OneOrMore, OrNone, Text, TextOr, Textual};
