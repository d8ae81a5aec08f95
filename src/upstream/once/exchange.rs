//! One request and its answer over a stream of its own.
//!
//! No task is spawned: the connection is driven by the future that asks, so that dropping it (at a timeout, with its monitor) leaves
//! nothing behind, also when the other side hangs. That is why HTTP/2 is spoken with `h2` here, as hyper's client needs an executor.
//! Deliberately not here: dialling, and what an answer means.

use std::future::Future;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, Request, Version, response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;

use crate::model::{Address, UpstreamProtocol};
use crate::upstream::{Stream, Target, chain};

/// Bytes of an answer's head.
const MAX_HEAD: u32 = 64 * 1024;

/// What is spoken over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: response::Parts,
    /// As much of the body as was wanted, at most.
    pub body: Bytes,
    /// Trailers, when the whole body was read.
    pub trailers: HeaderMap,
}

impl Spoken {
    /// Returns what an endpoint with this setting speaks over `stream`.
    pub fn over(stream: &Stream, protocol: UpstreamProtocol) -> Self {
        match protocol {
            UpstreamProtocol::Http1 => Self::H1,
            UpstreamProtocol::Http2 => Self::H2,
            UpstreamProtocol::Auto if stream.alpn() == Some(b"h2") => Self::H2,
            UpstreamProtocol::Auto => Self::H1,
        }
    }
}

/// Makes a request for the page at `path` of an endpoint, in the form that `spoken` needs.
///
/// # Errors
/// When `path` is no target of a request; one line.
pub fn get(spoken: Spoken, target: &Target, path: &str) -> Result<Request<Bytes>, String> {
    let host = match &target.address {
        Address::Unix(_) => "localhost".to_owned(),
        address => address.to_string(),
    };
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let builder = match spoken {
        Spoken::H1 => Request::get(path).header(HOST, host).header(CONNECTION, "close"),
        Spoken::H2 => Request::get(format!("{scheme}://{host}{path}")).version(Version::HTTP_2),
    };
    builder.header(USER_AGENT, "tidegate").body(Bytes::new()).map_err(|error| format!("{path} cannot be asked for: {error}"))
}

/// Sends `request` and reads the answer, with as many bytes of its body as `wanted` says of the head; the error is one line.
///
/// The request's target is in the form that the protocol needs: absolute for HTTP/2. Has no deadline of its own. Cancel safe.
pub async fn exchange(
    stream: Stream,
    spoken: Spoken,
    request: Request<Bytes>,
    wanted: impl Fn(&response::Parts) -> usize,
) -> Result<Answer, String> {
    match spoken {
        Spoken::H1 => over_h1(stream, request, wanted).await,
        Spoken::H2 => over_h2(stream, request, wanted).await,
    }
}

async fn over_h1(stream: Stream, request: Request<Bytes>, wanted: impl Fn(&response::Parts) -> usize) -> Result<Answer, String> {
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(MAX_HEAD as usize);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| h1_error(&error))?;
    let asking = async {
        let response = sender.send_request(request.map(Full::new)).await.map_err(|error| h1_error(&error))?;
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut trailers = HeaderMap::new();
        let wanted = wanted(&head);
        while body.len() < wanted {
            let Some(frame) = incoming.frame().await else { break };
            match frame.map_err(|error| h1_error(&error))?.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        body.truncate(wanted);
        Ok(Answer { head, body: body.freeze(), trailers })
    };
    beside(connection, asking).await
}

async fn over_h2(stream: Stream, request: Request<Bytes>, wanted: impl Fn(&response::Parts) -> usize) -> Result<Answer, String> {
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(MAX_HEAD);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(|error| h2_error(&error))?;
    let asking = async {
        let (head, content) = request.into_parts();
        let mut sender = sender.ready().await.map_err(|error| h2_error(&error))?;
        let is_empty = content.is_empty();
        let (response, mut upload) =
            sender.send_request(Request::from_parts(head, ()), is_empty).map_err(|error| h2_error(&error))?;
        if !is_empty {
            upload.send_data(content, true).map_err(|error| h2_error(&error))?;
        }
        let (head, mut incoming) = response.await.map_err(|error| h2_error(&error))?.into_parts();
        let mut body = BytesMut::new();
        let mut trailers = HeaderMap::new();
        let wanted = wanted(&head);
        if wanted > 0 {
            while body.len() < wanted
                && let Some(data) = incoming.data().await
            {
                let data = data.map_err(|error| h2_error(&error))?;
                body.extend_from_slice(&data);
                // Fails only for a stream that has ended, which the next frame shows.
                let _ = incoming.flow_control().release_capacity(data.len());
            }
            // Trailers come after the whole body only.
            if body.len() < wanted {
                trailers = incoming.trailers().await.map_err(|error| h2_error(&error))?.unwrap_or_default();
            }
        }
        body.truncate(wanted);
        Ok(Answer { head, body: body.freeze(), trailers })
    };
    beside(connection, asking).await
}

/// Drives a connection while `asking` runs over it.
async fn beside<T>(connection: impl Future, asking: impl Future<Output = T>) -> T {
    let mut asking = pin!(asking);
    // Cancel safe: `asking` goes on below when the connection has ended, with what it had received or why it ended.
    tokio::select! {
        biased;
        done = &mut asking => return done,
        _ = connection => {}
    }
    asking.await
}

fn h1_error(error: &hyper::Error) -> String {
    if error.is_parse() {
        format!("the answer is not HTTP/1.1: {}", chain(error))
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "the connection was closed before the whole answer".to_owned()
    } else {
        format!("the connection broke: {}", chain(error))
    }
}

fn h2_error(error: &h2::Error) -> String {
    format!("HTTP/2 failed: {}", chain(error))
}
