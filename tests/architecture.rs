//! Keeps the house standing: reads the floor table in `src/lib.rs` and every file in `src/`, and fails with the list of all breaches.
//!
//! A small lexer blanks comments and literals, then looks for paths and words. It knows Rust's syntax as this crate is written, after
//! `cargo fmt`; it does not expand macros.

#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use source::{Reference, Source};

/// Fails above this; tests do not count.
const MAX_LINES: usize = 500;

/// Files that decide and do nothing: time and randomness reach them as arguments, so that they can be tested and simulated. A file elsewhere is
/// one of them when a line of its docs says "Pure" at its beginning or end.
const PURE: [(&str, &str); 6] = [
    ("balance/", "a pick under a seed must be the same pick"),
    ("kit/ewma.rs", "decays by the time it is given"),
    ("kit/hash.rs", "replicas must agree"),
    ("kit/window.rs", "slides by the time it is given"),
    ("model/", "plain values"),
    ("route/", "the same request and config must find the same route"),
];

const IMPURE: [&str; 8] =
    ["Instant::now", "SystemTime::now", "clock::now", "tokio::time", "rand::", "thread_rng", "Rng::new(", "RandomState::new"];

const UNFINISHED: [&str; 4] = [".unwrap()", "todo!", "unimplemented!", "dbg!"];

const PRINTS: [&str; 4] = ["println!", "eprintln!", "print!", "eprint!"];

#[test]
fn the_house_stands() {
    let files = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "");
    assert!(files.len() > 50, "only {} files were read", files.len());
    let breaches = breaches(&files);
    assert!(breaches.is_empty(), "\n{} breaches:\n  {}\n", breaches.len(), breaches.join("\n  "));
}

fn read(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is part of the crate") {
        let entry = entry.expect("the folder can be read");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("names of source files are ASCII"));
        if entry.path().is_dir() {
            files.extend(read(&entry.path(), &format!("{name}/")));
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(entry.path()).expect("sources are UTF-8")));
        }
    }
    files.sort();
    files
}

/// Checks files given as path below `src/` and text; `lib.rs` must be among them.
fn breaches(files: &[(String, String)]) -> Vec<String> {
    let Some((_, table)) = files.iter().find(|(path, _)| path == "lib.rs") else { return vec!["lib.rs: is missing".to_owned()] };
    let floors = floors(table);
    let sources = source::read(files);
    let mut found: Vec<String> = Vec::new();
    for source in &sources {
        let mut note = |at: usize, what: String| found.push(format!("src/{}:{}: {what}", source.path, source.line(at)));
        shape(source, &mut note);
        words(source, &mut note);
        match source.folder() {
            Some(folder) => imports(source, folder, &floors, &mut note),
            None if source.path == "lib.rs" => only_modules(source, "lib.rs", &mut note),
            None if source.path != "main.rs" => note(0, "only lib.rs and main.rs stand outside the folders".to_owned()),
            None => {}
        }
    }
    found
}

/// Reads `// floor N: ...` and the `pub mod x;` below it.
fn floors(lib: &str) -> BTreeMap<&str, u32> {
    let mut floor = None;
    let mut floors = BTreeMap::new();
    for line in lib.lines() {
        if let Some(rest) = line.strip_prefix("// floor ") {
            floor = rest.split(':').next().and_then(|number| number.trim().parse().ok());
        } else if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            floors.extend(floor.map(|floor| (name, floor)));
        }
    }
    floors
}

fn shape(source: &Source, note: &mut impl FnMut(usize, String)) {
    let lines = source.lines_of_code();
    if lines > MAX_LINES {
        note(0, format!("has {lines} lines without tests; {MAX_LINES} is the limit"));
    }
    if !source.is_test && !source.text.starts_with("//!") {
        note(0, "does not begin with `//!`: what it is for, and what it does not do".to_owned());
    }
    if source.path.ends_with("/mod.rs") && !source.is_test {
        only_modules(source, "mod.rs", note);
    }
}

/// Allows docs, attributes, `mod` and `use` only.
fn only_modules(source: &Source, name: &str, note: &mut impl FnMut(usize, String)) {
    for (at, item) in source.items() {
        let declaration = item.strip_prefix("pub").map_or(item, |rest| match rest.trim_start().strip_prefix('(') {
            Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
            None => rest,
        });
        let declaration = declaration.trim_start();
        if !(declaration.starts_with("use ") || declaration.starts_with("mod ") && declaration.ends_with(';')) {
            let first = item.lines().next().unwrap_or_default();
            note(at, format!("{name} has logic: `{first}`; it is for docs, `mod` and `use`"));
        }
    }
}

fn words(source: &Source, note: &mut impl FnMut(usize, String)) {
    let mut forbid = |words: &[&str], why: &str| {
        for (at, word) in words.iter().flat_map(|word| source.find(word)) {
            note(at, format!("`{word}` {why}"));
        }
    };
    forbid(&UNFINISHED, "outside tests");
    if !source.path.starts_with("cli/") && source.path != "main.rs" {
        forbid(&PRINTS, "outside tests and cli");
    }
    let listed = PURE.iter().find(|(path, _)| source.path.starts_with(path)).map(|(_, why)| *why);
    if let Some(why) = listed.or(source.says_pure().then_some("its docs say so")) {
        let why = format!("in a pure file ({why}); pass time and randomness as arguments");
        forbid(&IMPURE, &why);
        for (at, _) in
            source.find("fastrand::").filter(|(at, _)| source.code[at + 10..].starts_with(|c: char| c.is_lowercase() || c == '{'))
        {
            note(at, format!("a free function of `fastrand` {why}"));
        }
    }
}

fn imports(source: &Source, own: &str, floors: &BTreeMap<&str, u32>, note: &mut impl FnMut(usize, String)) {
    let Some(floor) = floors.get(own) else { return note(0, format!("the folder `{own}` has no floor in lib.rs")) };
    for Reference { at, folder, path, in_test } in source.references() {
        if path.ends_with("::*") && !(in_test && path.starts_with("super::")) {
            note(at, format!("`{path}` is a glob import of the crate"));
        }
        let Some(other) = folder.filter(|other| other != own) else { continue };
        match floors.get(other.as_str()) {
            None => note(at, format!("`{path}`: `{other}` has no floor in lib.rs")),
            Some(theirs) if theirs > floor => note(at, format!("`{path}` goes up: {own} is on floor {floor}, {other} on {theirs}")),
            Some(theirs) if theirs == floor => note(at, format!("`{path}` goes sideways: {own} and {other} are on floor {floor}")),
            Some(_) => {}
        }
    }
}
