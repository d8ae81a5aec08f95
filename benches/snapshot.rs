//! What a reload costs before anything is swapped: reading a file, and building the table of its routes.

use std::fmt::Write;
use std::path::Path;

use divan::Bencher;
use tidegate::config;
use tidegate::model::Id;
use tidegate::route::Table;

fn main() {
    divan::main();
}

/// A config with one listener, `routes` routes over as many hosts, and ten pools of four endpoints.
fn file(routes: usize) -> String {
    let mut text = String::from("listeners: [{ name: public, bind: 127.0.0.1:8080 }]\npools:\n");
    for pool in 0..10 {
        let endpoints: Vec<_> = (0..4).map(|endpoint| format!("10.0.{pool}.{endpoint}:8080")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  p{pool}: {{ endpoints: [{}] }}", endpoints.join(", "));
    }
    text.push_str("routes:\n");
    for route in 0..routes {
        let _ = writeln!(
            text,
            "  - {{ name: r{route}, match: {{ hosts: [h{route}.example.com], path: {{ prefix: /v1 }} }}, pool: p{} }}",
            route % 10
        );
    }
    text
}

#[divan::bench(args = [1, 100, 1_000])]
fn read(bencher: Bencher<'_, '_>, routes: usize) {
    let text = file(routes);
    bencher.bench(|| config::read(&text, "bench.yaml", Path::new("."), &|_| None).expect("a valid config"));
}

#[divan::bench(args = [1, 100, 1_000])]
fn table(bencher: Bencher<'_, '_>, routes: usize) {
    let loaded = config::read(&file(routes), "bench.yaml", Path::new("."), &|_| None).expect("a valid config");
    let listener: Id = "public".parse().expect("a valid name");
    bencher.bench(|| Table::build(&loaded.snapshot.routes, &listener).expect("a valid table"));
}
