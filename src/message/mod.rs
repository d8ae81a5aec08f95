//! What HTTP messages carry, and what a proxy owes them.
