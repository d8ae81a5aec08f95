//! Every example in `config/` is a config that works, and every key of the schema is in the reference.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate::config::{self, Loaded};
use tidegate::model::{Action, Discovery, ForecastMode, ScaleRule, Strategy, Target};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads an example with an empty environment, as if it stood in `folder`; it must not even have warnings.
fn example(name: &str, folder: &Path) -> Loaded {
    let text = fs::read_to_string(root().join("config").join(name)).expect("the example is there");
    let loaded = config::read(&text, name, folder, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    loaded
}

#[test]
fn the_quickstart_balances_three_endpoints() {
    let loaded = example("quickstart.yaml", root());
    assert_eq!(loaded.snapshot.listeners.len(), 1);
    assert_eq!(loaded.snapshot.pools["agents"].endpoints.len(), 3);
    assert_eq!(loaded.snapshot.routes.len(), 1);
}

#[test]
fn the_sidecar_takes_its_ports_from_the_environment() {
    let loaded = example("sidecar.yaml", root());
    assert_eq!(loaded.snapshot.listeners[0].bind.to_string(), "0.0.0.0:15006");
    let text = fs::read_to_string(root().join("config/sidecar.yaml")).unwrap();
    let env = |name: &str| (name == "INBOUND_PORT").then(|| "7777".to_owned());
    let loaded = config::read(&text, "sidecar.yaml", root(), &env).unwrap();
    assert_eq!(loaded.snapshot.listeners[0].bind.to_string(), "0.0.0.0:7777");
    assert!(loaded.snapshot.pools["tools"].discovery.is_some());
}

#[test]
fn the_gateway_splits_redirects_and_responds() {
    let loaded = example("gateway.yaml", root());
    let actions: Vec<&Action> = loaded.snapshot.routes.iter().map(|route| &route.action).collect();
    assert!(actions.iter().any(|action| matches!(action, Action::Forward(shares) if shares.len() == 2)));
    assert!(actions.iter().any(|action| matches!(action, Action::Redirect(_))));
    assert!(actions.iter().any(|action| matches!(action, Action::Respond(_))));
    assert_eq!(loaded.snapshot.pools["coders-large"].strategy, Strategy::ResourceBased);
    assert!(loaded.snapshot.admin.token.is_none());
}

#[test]
fn the_tls_example_works_with_certificates_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).unwrap();
    for name in ["server", "tools", "client", "clients", "internal-ca"] {
        let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]).unwrap();
        fs::write(certs.join(format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(certs.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let config = folder.path().join("tls.yaml");
    fs::copy(root().join("config/tls.yaml"), &config).unwrap();
    let loaded = config::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    let names =
        ["client.key", "client.pem", "clients.pem", "internal-ca.pem", "server.key", "server.pem", "tools.key", "tools.pem"];
    assert_eq!(loaded.files, names.map(|name| certs.join(name)));
    fs::remove_file(certs.join("tools.key")).unwrap();
    let errors = config::load(&config).unwrap_err();
    assert_eq!(errors.problems().len(), 1, "{errors}");
}

#[test]
fn the_full_example_uses_every_section() {
    let snapshot = example("full.yaml", root()).snapshot;
    let route = &snapshot.routes[0];
    assert_eq!(route.policies.bulkhead.as_ref().map(|name| name.as_str()), Some("llm_calls"));
    assert_eq!(route.policies.retry.as_ref().map(|retry| retry.on.len()), Some(4));
    assert!(route.policies.hedge.is_some() && route.policies.failover.is_some() && route.policies.mirror.is_some());
    let coders = &snapshot.pools["coders"].protection;
    assert!(coders.circuit_breaker.is_some() && coders.outlier.is_some() && coders.health.is_some() && coders.queue.is_some());
    assert!(snapshot.pools["coders-next"].protection.circuit_breaker.is_none());
    assert_eq!(snapshot.bulkheads["llm_calls"].queue.capacity, 200);
    assert_eq!(snapshot.overload.max_requests, Some(10_000));
    assert!(snapshot.cluster.as_ref().is_some_and(|cluster| cluster.lease.is_some() && cluster.identity.is_none()));
    let text = fs::read_to_string(root().join("config/full.yaml")).unwrap();
    let sections = config::schema()["properties"].as_object().unwrap().clone();
    for section in sections.keys().filter(|section| *section != "workers") {
        assert!(text.contains(&format!("\n{section}:")), "{section} is missing");
    }
}

#[test]
fn the_resilient_gateway_protects_endpoints_that_do_one_thing_at_a_time() {
    let snapshot = example("resilience.yaml", root()).snapshot;
    let gpus = &snapshot.pools["gpus"];
    assert_eq!(gpus.max_connections, Some(1));
    assert_eq!(gpus.protection.queue.as_ref().map(|queue| queue.capacity), Some(500));
    assert!(gpus.protection.health.as_ref().is_some_and(|health| health.heal.is_some()));
    assert_eq!(snapshot.pools["gpus-elsewhere"].protection.queue.as_ref().map(|queue| queue.capacity), Some(100));
    let policies: Vec<_> = snapshot.routes.iter().map(|route| &route.policies).collect();
    assert_eq!(policies.iter().map(|policies| policies.priority).collect::<Vec<_>>(), [10, -10, 0]);
    assert_eq!(policies[0].rate_limits.len(), 2);
    assert!(policies[0].failover.is_some() && policies[1].bulkhead.is_some() && policies[2].hedge.is_some());
}

#[test]
fn the_autoscale_example_sizes_processes_and_pods() {
    let snapshot = example("autoscale.yaml", root()).snapshot;
    let tools = snapshot.pools["tools"].autoscale.as_ref().expect("the pool is sized");
    assert!(matches!(&tools.target, Target::Process(program) if program.command[..2] == ["tidegate", "agent"]));
    assert_eq!((tools.terms.min_replicas, tools.terms.max_replicas), (0, 6));
    let ScaleRule::Target { target, .. } = tools.terms.policies[0].rule else { panic!("no target") };
    assert_eq!((tools.terms.policies.len(), target), (1, 4.0));
    assert_eq!(snapshot.pools["tools"].discovery, Some(Discovery::Replicas));
    let coders = &snapshot.pools["coders"];
    assert!(matches!(coders.discovery, Some(Discovery::Kubernetes(_))));
    assert!(coders.protection.health.as_ref().and_then(|health| health.heal.as_ref()).is_some_and(|heal| heal.restart));
    let terms = &coders.autoscale.as_ref().expect("the pool is sized").terms;
    let schedules = terms.policies.iter().filter(|policy| matches!(policy.rule, ScaleRule::Schedule { .. }));
    assert_eq!((terms.policies.len(), schedules.count()), (6, 2));
    assert_eq!(terms.forecast.as_ref().map(|forecast| forecast.mode), Some(ForecastMode::Act));
    assert_eq!(snapshot.storage.path.as_deref(), Some(root().join("state").as_path()));
    assert!(snapshot.routes.iter().all(|route| route.heartbeat.is_some()));
}

#[test]
fn every_example_is_tested_here() {
    let mut names: Vec<PathBuf> = fs::read_dir(root().join("config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let names: Vec<&str> = names.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(
        names,
        ["autoscale.yaml", "full.yaml", "gateway.yaml", "quickstart.yaml", "resilience.yaml", "sidecar.yaml", "tls.yaml"]
    );
}

/// Collects the names and descriptions of all keys of a schema.
fn keys(schema: &Value, found: &mut Vec<(String, bool)>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.iter().map(|(key, value)| (key.clone(), value.get("description").is_some())));
            }
            object.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn every_key_is_described_in_the_schema_and_in_the_reference() {
    let schema = config::schema();
    assert!(schema["$schema"].is_string() && schema["title"].is_string());
    let mut found = Vec::new();
    keys(&schema, &mut found);
    assert!(found.len() > 150, "only {} keys", found.len());
    let reference = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    for (key, is_described) in found {
        assert!(is_described, "{key} has no description");
        let is_named = [format!("`{key}`"), format!(".{key}`"), format!("`{key}:"), format!("`{key}[")]
            .iter()
            .any(|form| reference.contains(form));
        assert!(is_named, "{key} is not in docs/configuration.md");
    }
}

#[test]
fn the_fuzz_seeds_and_their_cut_forms_are_read_without_panic() {
    let mut count = 0;
    for folder in ["fuzz/seeds/config", "config"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for (end, _) in text.char_indices().step_by(7) {
                let _ = config::read(&text[..end], "seed.yaml", root(), &|_| None);
            }
            let _ = config::read(&text, "seed.yaml", root(), &|_| None);
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} seeds");
}
