//! Where things are in the API: paths and queries. Pure.

use http::{Method, Request};
use k8s_openapi::{NamespaceResourceScope, Resource};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::failure::CallError;

/// What names of objects are made of stays readable; whatever else a config may hold cannot leave its segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The objects of one kind in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

/// One request, before it is written.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    uri: String,
    body: Option<(&'static str, Value)>,
}

impl Place {
    /// Says where objects of a group (empty for the core one), version and plural are.
    pub fn new(group: &str, version: &str, namespace: &str, plural: &str) -> Self {
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", encode(group)) };
        Self(format!("{root}/{}/namespaces/{}/{}", encode(version), encode(namespace), encode(plural)))
    }

    /// Says where objects of a known kind are.
    pub fn of<K: Resource<Scope = NamespaceResourceScope>>(namespace: &str) -> Self {
        Self::new(K::GROUP, K::VERSION, namespace, K::URL_PATH_SEGMENT)
    }

    /// Asks for all objects that have `labels`.
    pub(super) fn list(&self, labels: &str) -> Ask {
        Ask::new(Method::GET, format!("{}?labelSelector={}", self.0, encode(labels)))
    }

    /// Asks for what happens after `version` to the objects that have `labels`, for so many seconds.
    pub(super) fn watch(&self, labels: &str, version: &str, seconds: u64) -> Ask {
        let (labels, version) = (encode(labels), encode(version));
        let query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}");
        Ask::new(Method::GET, format!("{}?{query}&labelSelector={labels}&resourceVersion={version}", self.0))
    }

    /// Asks for one object, or for a part of it such as `Some("scale")`.
    pub(super) fn get(&self, name: &str, part: Option<&str>) -> Ask {
        Ask::new(Method::GET, self.item(name, part))
    }

    /// Makes an object.
    pub(super) fn create(&self, object: Value) -> Ask {
        Ask { body: Some(("application/json", object)), ..Ask::new(Method::POST, self.0.clone()) }
    }

    /// Writes an object whole.
    pub(super) fn replace(&self, name: &str, object: Value) -> Ask {
        Ask { body: Some(("application/json", object)), ..Ask::new(Method::PUT, self.item(name, None)) }
    }

    /// Changes an object, or a part of it (RFC 7396).
    pub(super) fn merge(&self, name: &str, part: Option<&str>, patch: Value) -> Ask {
        Ask { body: Some(("application/merge-patch+json", patch)), ..Ask::new(Method::PATCH, self.item(name, part)) }
    }

    /// Removes an object.
    pub(super) fn delete(&self, name: &str) -> Ask {
        Ask::new(Method::DELETE, self.item(name, None))
    }

    fn item(&self, name: &str, part: Option<&str>) -> String {
        let part = part.map(|part| format!("/{part}")).unwrap_or_default();
        format!("{}/{}{part}", self.0, encode(name))
    }
}

impl Ask {
    fn new(method: Method, uri: String) -> Self {
        Self { method, uri, body: None }
    }

    /// Writes it.
    pub(super) fn request(self) -> Result<Request<Vec<u8>>, CallError> {
        let request = Request::builder().method(self.method).uri(self.uri).header("accept", "application/json");
        let made = match self.body {
            None => request.body(Vec::new()),
            Some((media, value)) => request.header("content-type", media).body(value.to_string().into_bytes()),
        };
        made.map_err(|error| CallError::Unreachable(format!("the request cannot be written: {error}")))
    }
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::api::discovery::v1::EndpointSlice;

    use super::*;

    #[test]
    fn the_core_group_has_a_root_of_its_own() {
        assert_eq!(Place::of::<Pod>("agents").0, "/api/v1/namespaces/agents/pods");
        assert_eq!(Place::of::<EndpointSlice>("a").0, "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices");
    }

    #[test]
    fn nothing_leaves_its_segment() {
        let place = Place::new("apps", "v1", "a/../kube-system", "deployments");
        assert_eq!(place.get("x?y", Some("scale")).uri, "/apis/apps/v1/namespaces/a%2F..%2Fkube-system/deployments/x%3Fy/scale");
        assert_eq!(
            Place::of::<Pod>("a").list("app in (x,y)").uri,
            "/api/v1/namespaces/a/pods?labelSelector=app%20in%20%28x%2Cy%29"
        );
    }
}
