//! Why a request got no response from an endpoint, told from what the HTTP and TLS libraries say.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use crate::model::Reason;

/// Why a request got no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFailure {
    /// The word for it.
    pub reason: Reason,
    /// Whether the endpoint may have seen the request: a request that was not sent can always be tried again.
    pub sent: bool,
    /// Whether the connection had carried a request before: the endpoint may have closed it as idle in the same moment.
    pub reused: bool,
    /// What exactly happened, for the log.
    pub detail: Cow<'static, str>,
}

impl SendFailure {
    /// A failure before anything of the request was sent.
    pub(super) fn unsent(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, sent: false, reused: false, detail: detail.into() }
    }

    /// Tells what `error` of an exchange means; `body_broken` says that the request's body gave an error.
    pub(super) fn of_exchange(error: &hyper::Error, body_broken: bool) -> Self {
        let reason = if body_broken { Reason::RequestBodyBroken } else { exchange_reason(error) };
        Self { reason, sent: !unprocessed(error), reused: false, detail: Cow::Owned(chain(error)) }
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

impl Error for SendFailure {}

/// Tells what `error` of a response body means: cut short, or not HTTP.
pub fn body_reason(error: &hyper::Error) -> Reason {
    if error.is_parse() || violates_h2(error) || bad_chunk(error) { Reason::EndpointProtocol } else { Reason::EndpointTruncated }
}

/// Tells what an error of opening a socket means.
pub(super) fn connect_reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefusedByEndpoint,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}

/// Tells what an error of a TLS handshake means.
///
/// A certificate of ours that the endpoint refuses is a failed handshake: `TlsCertificate` speaks of the endpoint's.
pub(super) fn handshake_reason(error: &io::Error) -> Reason {
    match source::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Reason::TlsCertificate,
        _ => Reason::TlsFailed,
    }
}

/// Tells whether the peer said that it did not look at the request (RFC 9113 section 8.7): a refused stream, or one
/// above the last that a graceful GOAWAY names.
pub(super) fn unprocessed(error: &hyper::Error) -> bool {
    source::<h2::Error>(error).is_some_and(|error| {
        error.is_remote()
            && (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
    })
}

/// Writes `error` and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        // Many errors repeat their source's text in their own.
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = cause.source();
    }
    text
}

fn exchange_reason(error: &hyper::Error) -> Reason {
    // TLS 1.3 tells that a client certificate was refused only after the handshake, in place of the response.
    if source::<rustls::Error>(error).is_some() {
        return Reason::TlsFailed;
    }
    if error.is_parse() || violates_h2(error) {
        return Reason::EndpointProtocol;
    }
    if error.is_user() {
        // The request's head cannot be sent, or the connection's task panicked.
        return Reason::Internal;
    }
    Reason::EndpointReset
}

/// Tells whether this side ended an HTTP/2 connection or stream because of what the peer sent.
fn violates_h2(error: &hyper::Error) -> bool {
    source::<h2::Error>(error).is_some_and(|error| error.is_library() && (error.is_go_away() || error.is_reset()))
}

/// Tells whether the chunked coding of a body is malformed: hyper gives that as an I/O error.
fn bad_chunk(error: &hyper::Error) -> bool {
    source::<io::Error>(error).is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

/// Finds an error of type `E` in `error`'s chain, also inside I/O errors, which hide what they carry from `source`.
fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        if let Some(found) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).and_then(|inner| source(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_errors_are_found_inside_io_errors() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert_eq!(handshake_reason(&io::Error::new(io::ErrorKind::InvalidData, certificate)), Reason::TlsCertificate);
        assert_eq!(handshake_reason(&io::Error::new(io::ErrorKind::InvalidData, alert)), Reason::TlsFailed);
        assert_eq!(handshake_reason(&io::ErrorKind::UnexpectedEof.into()), Reason::TlsFailed);
    }

    #[test]
    fn socket_errors_have_their_reasons() {
        assert_eq!(connect_reason(&io::ErrorKind::ConnectionRefused.into()), Reason::ConnectRefusedByEndpoint);
        assert_eq!(connect_reason(&io::ErrorKind::TimedOut.into()), Reason::ConnectTimeout);
        assert_eq!(connect_reason(&io::ErrorKind::NetworkUnreachable.into()), Reason::ConnectFailed);
        assert_eq!(connect_reason(&io::ErrorKind::NotFound.into()), Reason::ConnectFailed);
    }

    #[test]
    fn a_failure_reads_as_reason_and_detail() {
        let failure = SendFailure::unsent(Reason::ConnectTimeout, "no answer");
        assert_eq!(failure.to_string(), "connect_timeout: no answer");
    }

    #[test]
    fn the_reference_names_reasons_and_statuses_as_they_are() {
        let rows = include_str!("../../docs/upstream.md").lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let word = cells.next()?.strip_suffix('`')?;
            Some((word, cells.next()?.parse::<u16>().ok()?))
        });
        let mut count = 0;
        for (word, status) in rows {
            let reason = Reason::ALL.iter().find(|reason| reason.as_str() == word).expect(word);
            assert_eq!(reason.status().as_u16(), status, "{word}");
            count += 1;
        }
        assert_eq!(count, 11);
    }
}
