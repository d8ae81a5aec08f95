//! From a YAML file to a snapshot.
