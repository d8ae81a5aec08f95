//! Runs every seed of every fuzz target through the target's function, without a fuzzer.

#[path = "../fuzz/entries.rs"]
mod entries;

use std::fs;
use std::path::Path;

/// Returns how many seeds there were.
fn run(target: &str, entry: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let seeds: Vec<_> = files.map(|file| file.expect("a seed can be listed").path()).collect();
    for seed in &seeds {
        entry(&fs::read(seed).expect("a seed can be read"));
    }
    seeds.len()
}

#[test]
fn seeds_of_proxy_protocol_hold() {
    assert!(run("proxy_protocol", entries::proxy_protocol) > 3);
}

#[test]
fn seeds_of_normalise_hold() {
    assert!(run("normalise", entries::normalise) > 3);
}

#[test]
fn seeds_of_host_hold() {
    assert!(run("host", entries::host) > 3);
}

#[test]
fn seeds_of_forwarded_hold() {
    assert!(run("forwarded", entries::forwarded) > 3);
}

#[test]
fn seeds_of_framing_hold() {
    assert!(run("framing", entries::framing) > 3);
}
