//! The endpoint's side of a request.
