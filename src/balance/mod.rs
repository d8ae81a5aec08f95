//! Which endpoint takes a request: six strategies behind one [`Picker`].
//!
//! A picker belongs to one worker and one pool, and is pure: the set, the time and the randomness are arguments. It caches what it derives
//! from a set and derives again only when the set's stamp has changed, so that a pick takes no lock, allocates nothing, and costs O(1) or
//! O(log n). What a pick starts (an attempt) and what it learns are `endpoint`'s; where the key comes from is `message`'s.

mod choice;
mod consistent_hashing;
mod least_connections;
mod least_response_time;
mod open;
mod picker;
mod resource_based;
mod round_robin;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod view;
mod weighted_round_robin;

pub use picker::{Ask, NoPick, Picker, hash_key};
