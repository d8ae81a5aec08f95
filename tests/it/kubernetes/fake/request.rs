//! What is asked, by the words of RBAC.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Method, Request};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// As in a Role: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// As in a Role: `deployments/scale`.
    pub resource: String,
    /// API group; empty for the core one.
    pub group: String,
    pub namespace: String,
    pub plural: String,
    pub name: String,
    pub query: HashMap<String, String>,
    pub body: Value,
    pub token: Option<String>,
    /// The media type of the body.
    pub media: String,
}

impl Call {
    /// Reads a request; `None` for a path that is none of the API's.
    pub fn read(request: &Request<Bytes>) -> Option<Self> {
        let parts: Vec<String> = request.uri().path().trim_matches('/').split('/').map(decode).collect();
        let (group, rest) = match parts.first()?.as_str() {
            "api" => (String::new(), &parts[2.min(parts.len())..]),
            "apis" => (parts.get(1)?.clone(), &parts[3.min(parts.len())..]),
            _ => return None,
        };
        let [namespaces, namespace, plural, item @ ..] = rest else { return None };
        if namespaces != "namespaces" || item.len() > 2 {
            return None;
        }
        let query = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let query: HashMap<_, _> = query.map(|(key, value)| (key.to_owned(), decode(value))).collect();
        let is_watch = query.get("watch").is_some_and(|value| value == "true");
        let verb = match *request.method() {
            Method::GET if !item.is_empty() => "get",
            Method::GET if is_watch => "watch",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return None,
        };
        let part = item.get(1).map(|part| format!("/{part}")).unwrap_or_default();
        let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Some(Self {
            verb,
            // Other than in a Role: the metrics of pods are called pods, too.
            resource: if group == "metrics.k8s.io" { "metrics".to_owned() } else { format!("{plural}{part}") },
            group,
            namespace: namespace.clone(),
            plural: plural.clone(),
            name: item.first().cloned().unwrap_or_default(),
            query,
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
            token: field("authorization").strip_prefix("Bearer ").map(str::to_owned),
            media: field("content-type"),
        })
    }

    /// What the call is about: the objects of a kind, however many.
    pub fn kind(&self) -> String {
        format!("{}/{}", self.group, self.plural)
    }

    pub fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }
}

fn decode(text: impl AsRef<str>) -> String {
    percent_decode_str(text.as_ref()).decode_utf8_lossy().into_owned()
}
