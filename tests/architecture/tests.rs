//! The rules fail on what they forbid, and on nothing else.

use super::breaches;

const LIB: &str = "//! The house.\n#![forbid(unsafe_code)]\n// floor 4: one concern each\npub mod balance;\npub mod route;\n\
                   // floor 2: metrics\npub mod telemetry;\n// floor 0: values\npub mod model;\n";

/// Checks one file in a house of four folders.
fn check(path: &str, text: &str) -> Vec<String> {
    check_all(&[(path, text)])
}

fn check_all(files: &[(&str, &str)]) -> Vec<String> {
    let lib = std::iter::once(&("lib.rs", LIB));
    breaches(&lib.chain(files).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
}

fn one(path: &str, text: &str) -> String {
    let found = check(path, text);
    assert_eq!(found.len(), 1, "{found:?}");
    found.concat()
}

#[test]
fn a_good_house_has_no_breach() {
    let text = "//! Finds.\n\nuse std::sync::Arc;\n\nuse super::host;\nuse crate::model::{self, Id};\nuse crate::route::path;\n\
                pub(in crate::route) fn a(_: crate::telemetry::Handle) {}\n";
    assert_eq!(check("route/table.rs", text), Vec::<String>::new());
}

#[test]
fn an_import_must_not_go_up() {
    assert_eq!(
        one("model/a.rs", "//! A.\n\nuse crate::route::Table;\n"),
        "src/model/a.rs:3: `crate::route::Table` goes up: model is on floor 0, route on 4"
    );
    assert!(one("model/a.rs", "//! A.\nfn f() { crate::route::g() }\n").contains("goes up"));
}

#[test]
fn an_import_must_not_go_sideways() {
    assert!(one("route/a.rs", "//! A.\nuse crate::balance::Picker;\n").contains("goes sideways"));
}

#[test]
fn groups_are_taken_apart() {
    let found = check("route/a.rs", "//! A.\nuse crate::{\n    model::{Id, Route as R},\n    balance::{self, Ask},\n};\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("`crate::balance::self` goes sideways") && found[1].contains("crate::balance::Ask"), "{found:?}");
}

#[test]
fn super_must_not_leave_the_folder_upwards() {
    assert!(one("route/a.rs", "//! A.\nuse super::super::balance::Ask;\n").contains("goes sideways"));
    assert!(one("route/mod.rs", "//! A.\nuse super::balance::Ask;\n").contains("goes sideways"));
    assert!(one("route/a/b.rs", "//! A.\nuse self::super::super::super::balance::Ask;\n").contains("goes sideways"));
    // One deeper, inside a module of the file.
    assert!(one("route/a.rs", "//! A.\nmod b {\n    use super::super::super::balance::Ask;\n}\n").contains("goes sideways"));
    assert_eq!(check("route/a.rs", "//! A.\nmod b {\n    use super::super::balance::Ask;\n}\n"), Vec::<String>::new());
    assert_eq!(check("route/a/b.rs", "//! A.\nuse super::super::c;\nuse super::super::super::model::Id;\n"), Vec::<String>::new());
}

#[test]
fn tests_obey_the_floors_as_well() {
    assert!(one("model/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::route::Table;\n}\n").contains("goes up"));
}

#[test]
fn globs_of_the_crate_are_for_tests_only() {
    assert!(one("route/a.rs", "//! A.\nuse crate::model::*;\n").contains("glob import"));
    assert!(one("route/a.rs", "//! A.\nuse super::b::{c, d::*};\n").contains("glob import"));
    assert!(one("route/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::model::*;\n}\n").contains("glob import"));
    assert_eq!(check("route/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n"), Vec::<String>::new());
}

#[test]
fn every_folder_has_a_floor() {
    assert!(one("other/a.rs", "//! A.\n").contains("the folder `other` has no floor"));
    assert!(one("route/a.rs", "//! A.\nuse crate::other::A;\n").contains("`other` has no floor"));
    assert!(one("stray.rs", "//! A.\n").contains("outside the folders"));
    assert_eq!(breaches(&[]), ["lib.rs: is missing"]);
}

#[test]
fn main_stands_above_all() {
    assert_eq!(check("main.rs", "//! Calls cli.\nfn main() {\n    println!(\"{}\", crate::x());\n}\n"), Vec::<String>::new());
}

#[test]
fn a_mod_file_has_no_logic() {
    let good = "//! A.\n\n#[allow(unused)]\nmod a;\npub(super) mod b;\n#[cfg(test)]\nmod tests;\n// Why.\npub use a::{A, B};\npub(in crate::route) use b::C;\n";
    assert_eq!(check("route/mod.rs", good), Vec::<String>::new());
    for logic in ["pub fn f() {}", "const N: usize = 1;", "pub(crate) struct A;", "mod a {}", "impl A {}"] {
        let found = one("route/mod.rs", &format!("//! A.\nmod a;\n{logic}\nuse a::A;\n"));
        assert!(found.starts_with("src/route/mod.rs:3: mod.rs has logic"), "{found}");
    }
}

#[test]
fn the_floor_table_is_nothing_else() {
    let lib = format!("{LIB}pub fn f() {{}}\n");
    assert!(breaches(&[("lib.rs".to_owned(), lib)]).concat().contains("lib.rs has logic"));
}

#[test]
fn pure_files_have_no_clock_and_no_randomness() {
    for call in ["Instant::now()", "std::time::SystemTime::now()", "clock::now()", "tokio::time::sleep(x)", "rand::random()"] {
        assert!(one("route/a.rs", &format!("//! A.\nfn f() {{ {call}; }}\n")).contains("in a pure file"), "{call}");
    }
    assert!(one("balance/a.rs", "//! A.\nfn f() { fastrand::u64(..); }\n").contains("free function"));
    assert!(one("balance/a.rs", "//! A.\nuse fastrand::{u64};\n").contains("free function"));
    assert!(
        one("telemetry/a.rs", "//! A.\n//!\n//! Merges two lists. Pure.\nfn f() { Instant::now(); }\n").contains("its docs say so")
    );
    assert_eq!(check("telemetry/a.rs", "//! A.\nfn f() { Instant::now(); }\n"), Vec::<String>::new());
    assert_eq!(check("balance/a.rs", "//! A.\nfn f(rng: &mut fastrand::Rng) {}\n"), Vec::<String>::new());
}

#[test]
fn unfinished_code_and_prints_are_for_tests() {
    for code in ["x.unwrap()", "todo!()", "unimplemented!()", "println!()", "eprintln!()", "dbg!(x)"] {
        assert!(one("route/a.rs", &format!("//! A.\nfn f() {{ {code}; }}\n")).contains("outside tests"), "{code}");
    }
    let in_tests = "//! A.\n#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap(); println!(); Instant::now(); }\n}\n";
    assert_eq!(check("route/a.rs", in_tests), Vec::<String>::new());
    assert!(one("route/a.rs", &format!("{in_tests}fn g() {{ x.unwrap() }}\n")).contains(":6: "));
}

#[test]
fn files_for_tests_are_those_that_are_declared_so() {
    let text = "use super::*;\nfn f() { x.unwrap(); }\n";
    let declared = "//! A.\n#[cfg(test)]\nmod tests;\n";
    assert_eq!(check_all(&[("route/a.rs", declared), ("route/a/tests.rs", text)]), Vec::<String>::new());
    assert_eq!(check_all(&[("route/a.rs", declared), ("route/a/tests/lab.rs", text)]), Vec::<String>::new());
    assert_eq!(check_all(&[("route/mod.rs", declared), ("route/tests.rs", text)]), Vec::<String>::new());
    assert_eq!(check_all(&[("route/a.rs", "//! A.\nmod tests;\n"), ("route/a/tests.rs", text)]).len(), 3);
}

#[test]
fn every_file_says_what_it_is_for() {
    assert!(one("route/a.rs", "use std::fmt;\n").contains("does not begin with `//!`"));
}

#[test]
fn a_file_has_500_lines_without_tests() {
    let lines = |n: usize| "fn f() {}\n".repeat(n);
    assert_eq!(check("route/a.rs", &format!("//! A.\n{}", lines(499))), Vec::<String>::new());
    assert!(one("route/a.rs", &format!("//! A.\n{}", lines(500))).contains("has 501 lines"));
    let with_tests = format!("//! A.\n{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(499), lines(100));
    assert_eq!(check("route/a.rs", &with_tests), Vec::<String>::new());
}

#[test]
fn comments_and_literals_mean_nothing() {
    let text = "//! A.\n/* crate::balance /* todo!() */ */\n// x.unwrap()\n\
                fn f<'a>(x: &'a str) { g(\"\\\" crate::balance\", r#\"\" todo!()\"#, b\"println!\", '\"', '\\'', '{'); }\n";
    assert_eq!(check("route/a.rs", text), Vec::<String>::new());
    // What follows them is seen again.
    assert!(one("route/a.rs", &format!("{text}fn g() {{ todo!() }}\n")).contains(":5: "));
}
