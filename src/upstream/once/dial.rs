//! The connection for one request, and what is said when there is none.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Reason;
use crate::upstream::{self, Lookup, SendFailure, Stream, Target};

/// Keeps deadlines within what an `Instant` holds.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Opens a connection as a request would: within `limit`, and within the endpoint's own connect timeout; the error is one line.
pub async fn open(target: &Target, lookup: &Lookup, limit: Duration) -> Result<Stream, String> {
    let limit = limit.min(target.settings.connect_timeout).min(MAX_WAIT);
    upstream::connect(target, lookup, Instant::now() + limit).await.map_err(|failure| explain(failure, limit))
}

fn explain(failure: SendFailure, limit: Duration) -> String {
    let detail = failure.detail;
    match failure.reason {
        Reason::ConnectRefusedByEndpoint => "connection refused".to_owned(),
        Reason::ConnectTimeout => format!("no connection within {limit:?}"),
        Reason::TlsCertificate => format!("certificate not accepted: {detail}"),
        Reason::TlsFailed => format!("TLS handshake failed: {detail}"),
        Reason::NameUnresolved => detail.into_owned(),
        _ => format!("cannot connect: {detail}"),
    }
}
