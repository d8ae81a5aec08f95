//! Objects with versions, and what has happened to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Group and plural, namespace, name.
pub type Key = (String, String, String);

/// What has happened to an object.
#[derive(Clone)]
pub struct Change {
    pub version: u64,
    pub word: &'static str,
    pub key: Key,
    pub object: Value,
}

/// An answer that is no success: status, reason, message.
pub type Refusal = (u16, &'static str, String);

/// Where pods are.
pub struct Place {
    /// How their addresses begin.
    pub network: [u8; 2],
    pub port: u16,
}

impl Default for Place {
    fn default() -> Self {
        Self { network: [10, 0], port: 8080 }
    }
}

/// All objects.
#[derive(Default)]
pub struct Store {
    pub place: Place,
    pub version: u64,
    /// Versions before this one are forgotten.
    pub floor: u64,
    pub log: Vec<Change>,
    objects: BTreeMap<Key, Value>,
}

impl Store {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Returns the objects of a kind in a namespace that have all `labels` (`a=b,c=d`).
    pub fn list(&self, kind: &str, namespace: &str, labels: &str) -> Vec<Value> {
        let of_kind = self.objects.iter().filter(|(key, _)| key.0 == kind && key.1 == namespace);
        of_kind.filter(|(_, object)| has_labels(object, labels)).map(|(_, object)| object.clone()).collect()
    }

    /// Puts an object in, whatever there was.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Value {
        let old = self.objects.get(key);
        if old.is_some_and(|old| without_version(old) == without_version(&object)) {
            return self.objects[key].clone();
        }
        let word = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let uid = old.map_or_else(|| json!(format!("uid-{}", self.version + 1)), |old| old["metadata"]["uid"].clone());
        object["metadata"]["uid"] = uid;
        object["metadata"]["name"] = json!(key.2);
        object["metadata"]["namespace"] = json!(key.1);
        if object["metadata"]["creationTimestamp"].is_null() {
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.note(word, key, object)
    }

    pub fn remove(&mut self, key: &Key) {
        if let Some(object) = self.objects.get(key).cloned() {
            self.note("DELETED", key, object);
            self.objects.remove(key);
        }
    }

    fn note(&mut self, word: &'static str, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.log.push(Change { version: self.version, word, key: key.clone(), object: object.clone() });
        object
    }

    /// Makes an object as a client does.
    pub fn create(&mut self, key: &Key, object: Value) -> Result<Value, Refusal> {
        if self.objects.contains_key(key) {
            return Err((409, "AlreadyExists", format!("{} {:?} already exists", key.0, key.2)));
        }
        check(key, &object)?;
        Ok(self.put(key, object))
    }

    /// Writes an object whole, as a client does: only over the version that it names.
    pub fn update(&mut self, key: &Key, object: Value) -> Result<Value, Refusal> {
        self.fits(key, &object)?;
        check(key, &object)?;
        Ok(self.put(key, object))
    }

    /// Merges a patch into an object, as a client does.
    pub fn patch(&mut self, key: &Key, patch: &Value) -> Result<Value, Refusal> {
        self.fits(key, patch)?;
        let mut object = self.objects[key].clone();
        merge(&mut object, patch);
        Ok(self.put(key, object))
    }

    /// Refuses what is not there, and what names another version than the last one.
    pub fn fits(&self, key: &Key, object: &Value) -> Result<(), Refusal> {
        let there = self.objects.get(key).ok_or_else(|| (404, "NotFound", format!("{} {:?} not found", key.0, key.2)))?;
        let named = &object["metadata"]["resourceVersion"];
        if named.is_null() || *named == there["metadata"]["resourceVersion"] {
            return Ok(());
        }
        let message = format!("Operation cannot be fulfilled on {} {:?}: the object has been modified", key.0, key.2);
        Err((409, "Conflict", message))
    }
}

fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object
}

/// What the server checks of a Lease.
fn check(key: &Key, object: &Value) -> Result<(), Refusal> {
    if !key.0.ends_with("/leases") {
        return Ok(());
    }
    let spec = &object["spec"];
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|seconds| seconds <= 0) {
        return Err((422, "Invalid", "spec.leaseDurationSeconds: must be greater than 0".to_owned()));
    }
    for time in [&spec["renewTime"], &spec["acquireTime"]].into_iter().filter_map(Value::as_str) {
        let digits = time.strip_suffix('Z').and_then(|time| time.split_once('.')).map_or("", |(_, digits)| digits);
        if digits.len() != 6 {
            return Err((422, "Invalid", format!("{time:?} has not six fractional digits")));
        }
    }
    Ok(())
}

pub fn has_labels(object: &Value, labels: &str) -> bool {
    let has = |pair: &str| pair.split_once('=').is_some_and(|(key, value)| object["metadata"]["labels"][key] == value);
    labels.split(',').filter(|pair| !pair.is_empty()).all(has)
}

/// RFC 7396.
pub fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut object[name.as_str()], value);
        }
    }
}
