//! A Lease as it is read and written.

use std::time::Duration;

use serde_json::json;
use tidegate::platform::kubernetes::{CallError, LeaseBook, LeaseRecord};

use super::fake::{Fake, Fault};

const LIMIT: Duration = Duration::from_secs(2);

fn book(fake: &Fake) -> LeaseBook {
    LeaseBook::new(fake.cluster(), None, "tidegate".to_owned(), LIMIT)
}

fn record(holder: &str) -> LeaseRecord {
    // A whole second: its six digits are all zero, and must be written all the same.
    LeaseRecord { holder: holder.to_owned(), seconds: 10, acquired: 5_000_000, renewed: 1_700_000_000_000_000, transitions: 1 }
}

fn code(result: Result<impl std::fmt::Debug, CallError>) -> Option<u16> {
    result.unwrap_err().code()
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_written_is_read_back() {
    let fake = Fake::new();
    let book = book(&fake);
    assert_eq!(book.get().await, Ok(None));
    let version = book.put(&record("a"), None).await.unwrap();
    assert_eq!(book.get().await, Ok(Some((record("a"), version))));
    let call = &fake.calls("create", "leases")[0];
    assert_eq!(call.body["spec"]["renewTime"], "2023-11-14T22:13:20.000000Z");
}

#[tokio::test(start_paused = true)]
async fn a_second_creation_is_lost() {
    let fake = Fake::new();
    book(&fake).put(&record("a"), None).await.unwrap();
    assert_eq!(code(book(&fake).put(&record("b"), None).await), Some(409));
    assert_eq!(book(&fake).get().await.unwrap().unwrap().0.holder, "a");
}

#[tokio::test(start_paused = true)]
async fn of_two_writes_over_one_version_the_second_is_lost() {
    let fake = Fake::new();
    let book = book(&fake);
    let version = book.put(&record("a"), None).await.unwrap();
    let next = book.put(&record("b"), Some(&version)).await.unwrap();
    assert_eq!(code(book.put(&record("c"), Some(&version)).await), Some(409));
    book.put(&record("d"), Some(&next)).await.unwrap();
    assert_eq!(book.get().await.unwrap().unwrap().0.holder, "d");
}

#[tokio::test(start_paused = true)]
async fn what_else_the_object_says_is_kept() {
    let fake = Fake::new();
    let book = book(&fake);
    book.put(&record("a"), None).await.unwrap();
    fake.patch("coordination.k8s.io/leases", "tidegate", &json!({ "metadata": { "labels": { "team": "agents" } } }));
    let (_, version) = book.get().await.unwrap().unwrap();
    book.put(&record("b"), Some(&version)).await.unwrap();
    assert_eq!(fake.calls("update", "leases")[0].body["metadata"]["labels"]["team"], "agents");
}

#[tokio::test(start_paused = true)]
async fn a_length_of_zero_is_never_written() {
    let fake = Fake::new();
    book(&fake).put(&LeaseRecord { seconds: 0, ..record("a") }, None).await.unwrap();
    assert_eq!(book(&fake).get().await.unwrap().unwrap().0.seconds, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_spec_is_nobodys() {
    let fake = Fake::new();
    let key = ("coordination.k8s.io/leases".to_owned(), "agents".to_owned(), "tidegate".to_owned());
    fake.store(|store| store.put(&key, json!({ "metadata": {} })));
    let (record, _) = book(&fake).get().await.unwrap().unwrap();
    assert_eq!((record.holder.as_str(), record.seconds), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_about_a_lease_has_a_bound_of_its_own() {
    let fake = Fake::new();
    fake.fault("get", "leases", Fault::Hang, 1);
    let begin = tokio::time::Instant::now();
    assert_eq!(code(book(&fake).get().await), None);
    assert_eq!(begin.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_another_namespace_is_looked_for_there() {
    let fake = Fake::new();
    let book = LeaseBook::new(fake.cluster(), Some("system".to_owned()), "tidegate".to_owned(), LIMIT);
    book.put(&record("a"), None).await.unwrap();
    assert_eq!(fake.calls("create", "leases")[0].namespace, "system");
    assert_eq!(fake.calls("create", "leases")[0].body["metadata"]["namespace"], "system");
}
