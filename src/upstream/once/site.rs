//! A place of the web that Tidegate itself asks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};

use super::dial::open;
use super::exchange::{Answer, Spoken, exchange};
use crate::model::{Address, Secret, Upstream, UpstreamProtocol, UpstreamTls};
use crate::upstream::{Lookup, Target, TlsError, build_tls};

const AGENT: HeaderValue = HeaderValue::from_static("tidegate");

/// A place of the web, by its URL. A redirect is not followed, so that a token goes nowhere but where the config says.
#[derive(Clone, Debug)]
pub struct Site {
    target: Target,
    path: String,
    host: HeaderValue,
    token: Option<HeaderValue>,
}

/// Why a place cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Not an address of the web.
    #[error("{0:?} is not a URL such as https://HOST/PATH")]
    Url(String),
    /// The token has characters that a header field cannot carry.
    #[error("{0:?}: its token cannot be sent in a header field")]
    Token(String),
    /// TLS cannot be set up.
    #[error("{url:?}: {source}")]
    Tls {
        /// The URL.
        url: String,
        /// Why.
        source: Box<TlsError>,
    },
}

impl Site {
    /// Reads `url`, of `http` or `https`, whose certificate the system's authorities vouch for.
    ///
    /// # Errors
    /// When the URL or the token cannot be used, or the system has no authorities.
    pub fn new(url: &str, token: Option<&Secret>) -> Result<Self, SiteError> {
        let bad_url = || SiteError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad_url)?;
        let (port, is_tls) = match uri.scheme_str() {
            Some("http") => (80, false),
            Some("https") => (443, true),
            _ => return Err(bad_url()),
        };
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => port,
            // Something is after the host that is no port.
            None => return Err(bad_url()),
        };
        let address: Address = format!("{}:{port}", authority.host()).parse().map_err(|_| bad_url())?;
        let tls_error = |source| SiteError::Tls { url: url.to_owned(), source: Box::new(source) };
        let tls = if is_tls { Some(build_tls(&UpstreamTls::default(), UpstreamProtocol::Http1).map_err(tls_error)?) } else { None };
        let target = Target::new(address, tls.as_deref(), Arc::new(Upstream::default())).map_err(tls_error)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| bad_url())?;
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {}", token.expose()))).transpose();
        let mut token = token.map_err(|_| SiteError::Token(url.to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { target, path, host, token })
    }

    /// Makes a request for the URL with `suffix` behind it.
    ///
    /// # Errors
    /// When that is no target of a request; one line.
    pub fn request(&self, method: Method, suffix: &str, body: Bytes) -> Result<Request<Bytes>, String> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let path = if suffix.is_empty() { &self.path } else { self.path.trim_end_matches('/') };
        *request.uri_mut() =
            format!("{path}{suffix}").parse().map_err(|error| format!("{path}{suffix} cannot be asked for: {error}"))?;
        let fields = request.headers_mut();
        fields.insert(HOST, self.host.clone());
        fields.insert(USER_AGENT, AGENT);
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            fields.insert(AUTHORIZATION, token.clone());
        }
        Ok(request)
    }

    /// Sends `request` over a connection of its own and reads the answer, with at most `wanted` bytes of its body; the error is one line.
    ///
    /// Only the connection has a deadline, `limit`. Cancel safe.
    pub async fn ask(&self, request: Request<Bytes>, lookup: &Lookup, limit: Duration, wanted: usize) -> Result<Answer, String> {
        let stream = open(&self.target, lookup, limit).await?;
        exchange(stream, Spoken::H1, request, |_| wanted).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str) -> Result<Site, SiteError> {
        Site::new(url, Some(&Secret::new("hunter2".to_owned())))
    }

    #[test]
    fn a_url_that_cannot_be_called_is_refused() {
        for url in ["", "a.test", "/path", "ftp://a.test/", "http://me:secret@a.test:80/", "http://a b/", "http://a.test:99999/"] {
            assert!(matches!(to(url), Err(SiteError::Url(_))), "{url}");
        }
        let odd = Secret::new("a\nb".to_owned());
        let error = Site::new("http://a.test/", Some(&odd)).unwrap_err().to_string();
        assert!(error.contains("a.test") && !error.contains("a\nb"));
    }

    #[test]
    fn ports_and_paths_may_be_left_out() {
        let place = |url: &str| to(url).map(|site| (site.target.address.to_string(), site.path)).unwrap();
        assert_eq!(place("http://a.test"), ("a.test:80".to_owned(), "/".to_owned()));
        assert_eq!(place("http://[::1]:81/x?y=z"), ("[::1]:81".to_owned(), "/x?y=z".to_owned()));
        assert_eq!(place("http://10.0.0.1/x"), ("10.0.0.1:80".to_owned(), "/x".to_owned()));
    }

    #[test]
    fn a_suffix_follows_the_path() {
        let path = |url: &str, suffix: &str| to(url).unwrap().request(Method::GET, suffix, Bytes::new()).unwrap().uri().to_string();
        assert_eq!(path("http://a.test", "/metrics"), "/metrics");
        assert_eq!(path("http://a.test/prometheus/", "/api"), "/prometheus/api");
        assert_eq!(path("http://a.test/x?y=z", ""), "/x?y=z");
    }
}
