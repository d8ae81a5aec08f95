//! The request to explain: from a URL and header fields to what the proxy would see, and on which listener.

use std::sync::Arc;

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde::Serialize;

use super::super::args;
use super::super::output::Usage;
use crate::model::{Bind, Listener};

/// The host of a request that names none, as `curl` would send it to a listener on this machine.
const DEFAULT_HOST: HeaderValue = HeaderValue::from_static("localhost");

/// A request as it would come in.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The scheme and port of the URL; `None` when it is only a path.
    pub(super) origin: Option<Origin>,
    /// The path before normalisation.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The header fields, with `Host`.
    pub(super) headers: HeaderMap,
}

/// Which socket a URL leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    pub(super) port: u16,
}

/// Why a listener was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Choice {
    /// It was named.
    Named,
    /// It has the port of the URL.
    Port,
    /// It has the scheme of the URL.
    Scheme,
    /// It is the first of the file.
    First,
}

impl Asked {
    /// Reads the request of a command line.
    ///
    /// # Errors
    /// [`Usage`], when the URL is none, or not one of HTTP.
    pub(super) fn read(arguments: &args::Explain) -> Result<Self, Usage> {
        let url = &arguments.url;
        let uri: Uri = url.parse().map_err(|error| Usage(format!("{url:?} is not a URL: {error}")))?;
        let is_path = url.starts_with('/') || (url == "*" && arguments.method == Method::OPTIONS);
        let mut headers = HeaderMap::new();
        for (name, value) in &arguments.headers {
            headers.append(name, value.clone());
        }
        let origin = if is_path { None } else { Some(origin(url, &uri)?) };
        if !headers.contains_key(HOST) {
            headers.insert(HOST, host(&uri)?);
        }
        let path = if url == "*" { "*" } else { uri.path() };
        Ok(Self { method: arguments.method.clone(), origin, path: path.to_owned(), query: uri.query().map(str::to_owned), headers })
    }

    /// Returns the listener that would take the request, and why that one.
    ///
    /// # Errors
    /// [`Usage`], when there is no listener named `name`, or none at all.
    pub(super) fn listener<'a>(&self, listeners: &'a [Arc<Listener>], name: Option<&str>) -> Result<(&'a Listener, Choice), Usage> {
        if let Some(name) = name {
            let found = listeners.iter().find(|listener| listener.name.as_str() == name);
            return found.map(|listener| (&**listener, Choice::Named)).ok_or_else(|| unknown(listeners, name));
        }
        let by_origin = self.origin.and_then(|origin| {
            let fits = |listener: &&Arc<Listener>| listener.tls.is_some() == origin.is_tls;
            let by_port = listeners.iter().filter(fits).find(|listener| port(listener) == Some(origin.port));
            let by_scheme = || listeners.iter().find(fits).map(|listener| (listener, Choice::Scheme));
            by_port.map(|listener| (listener, Choice::Port)).or_else(by_scheme)
        });
        let chosen = by_origin.or_else(|| listeners.first().map(|listener| (listener, Choice::First)));
        chosen.map(|(listener, choice)| (&**listener, choice)).ok_or_else(|| Usage("the config has no listener".to_owned()))
    }
}

fn origin(url: &str, uri: &Uri) -> Result<Origin, Usage> {
    let is_tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        _ => return Err(Usage(format!("write http://HOST/PATH, https://HOST/PATH or /PATH, found {url:?}"))),
    };
    Ok(Origin { is_tls, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }) })
}

fn host(uri: &Uri) -> Result<HeaderValue, Usage> {
    let Some(authority) = uri.authority() else { return Ok(DEFAULT_HOST) };
    // Clients keep the user's name for `Authorization` (RFC 9110 section 4.2.4).
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    HeaderValue::from_str(host).map_err(|_| Usage(format!("{host:?} is not a host")))
}

fn port(listener: &Listener) -> Option<u16> {
    match &listener.bind {
        Bind::Tcp(address) => Some(address.port()),
        Bind::Unix(_) => None,
    }
}

fn unknown(listeners: &[Arc<Listener>], name: &str) -> Usage {
    let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    Usage(format!("there is no listener {name:?}; there is {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::model::{ClientAuth, Limits, ListenerProtocol, ListenerTimeouts, ServerTls};

    fn asked(arguments: &[&str]) -> Result<Asked, Usage> {
        let line = ["tidegate", "explain"].iter().chain(arguments);
        match args::Arguments::try_parse_from(line).unwrap().command {
            args::Command::Explain(explain) => Asked::read(&explain),
            other => panic!("{other:?}"),
        }
    }

    fn listener(name: &str, bind: &str, is_tls: bool) -> Arc<Listener> {
        let tls = ServerTls { certificates: Vec::new(), client_ca: None, client_auth: ClientAuth::Required };
        Arc::new(Listener {
            name: name.parse().unwrap(),
            bind: bind.parse().unwrap(),
            protocol: ListenerProtocol::Auto,
            tls: is_tls.then_some(tls),
            proxy_protocol: false,
            limits: Limits::default(),
            timeouts: ListenerTimeouts::default(),
        })
    }

    #[test]
    fn a_url_is_taken_apart() {
        let asked = asked(&["GET", "https://user:pw@Agents.example.com:8443/a/../b?x=1"]).unwrap();
        assert_eq!(asked.origin, Some(Origin { is_tls: true, port: 8443 }));
        assert_eq!(asked.headers[HOST], "Agents.example.com:8443");
        assert_eq!((asked.path.as_str(), asked.query.as_deref()), ("/a/../b", Some("x=1")));
    }

    #[test]
    fn a_path_alone_takes_the_host_from_the_header() {
        let alone = asked(&["GET", "/a", "-H", "host: b"]).unwrap();
        assert_eq!((alone.origin, &alone.headers[HOST]), (None, &HeaderValue::from_static("b")));
        assert_eq!(asked(&["GET", "/a"]).unwrap().headers[HOST], "localhost");
        assert_eq!(asked(&["OPTIONS", "*"]).unwrap().path, "*");
    }

    #[test]
    fn what_no_client_would_send_is_refused() {
        for url in ["ftp://a/", "host", "http://", "", "a b", "*"] {
            assert!(asked(&["GET", url]).is_err(), "{url}");
        }
    }

    #[test]
    fn the_listener_is_found_by_name_port_scheme_or_place() {
        let listeners = [
            listener("first", "0.0.0.0:80", false),
            listener("unix", "unix:/run/t.sock", false),
            listener("other", "0.0.0.0:8080", false),
            listener("secure", "0.0.0.0:443", true),
        ];
        for (url, name, expected) in [
            ("/", None, Some(("first", Choice::First))),
            ("/", Some("unix"), Some(("unix", Choice::Named))),
            ("/", Some("nobody"), None),
            ("http://a/", None, Some(("first", Choice::Port))),
            ("http://a:8080/", None, Some(("other", Choice::Port))),
            ("http://a:443/", None, Some(("first", Choice::Scheme))),
            ("https://a/", None, Some(("secure", Choice::Port))),
            ("https://a:9/", None, Some(("secure", Choice::Scheme))),
        ] {
            let asked = asked(&["GET", url]).unwrap();
            let found = asked.listener(&listeners, name).map(|(listener, choice)| (listener.name.as_str(), choice)).ok();
            assert_eq!(found, expected, "{url} {name:?}");
        }
        assert!(asked(&["GET", "/"]).unwrap().listener(&[], None).is_err());
    }
}
