//! What is known of one endpoint.
