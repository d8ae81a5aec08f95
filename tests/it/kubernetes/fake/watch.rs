//! Streams of events.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, timeout_at};

use super::request::Call;
use super::server::{Body, Fake, InStream};
use super::store::has_labels;

/// What a stream says in the end.
enum End {
    /// The connection is cut.
    Cut,
    /// Nothing more.
    Done,
}

/// A watch that was asked for.
struct Watch {
    kind: String,
    namespace: String,
    labels: String,
    /// The last version that was told.
    version: u64,
    epoch: u64,
    /// How many faults of streams it has seen.
    heard: usize,
    until: Instant,
}

/// Answers with what happens after a version, until its time is over.
pub fn stream(fake: Fake, call: &Call) -> Response<Body> {
    let number = |name: &str| call.query.get(name).and_then(|text| text.parse::<u64>().ok());
    let (epoch, heard) = {
        let state = fake.lock();
        (state.epoch, state.in_streams.len())
    };
    let watch = Watch {
        kind: call.kind(),
        namespace: call.namespace.clone(),
        labels: call.query.get("labelSelector").cloned().unwrap_or_default(),
        version: number("resourceVersion").unwrap_or(0),
        epoch,
        heard,
        until: Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300)),
    };
    let (say, mut said) = mpsc::channel::<io::Result<Bytes>>(64);
    tokio::spawn(async move {
        if let End::Cut = run(fake, watch, &say).await {
            // The client may have gone.
            let _ = say.send(Err(io::Error::from(io::ErrorKind::UnexpectedEof))).await;
        }
    });
    let frames = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))));
    Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
}

async fn run(fake: Fake, mut watch: Watch, say: &Sender<io::Result<Bytes>>) -> End {
    let mut changes = fake.changes();
    loop {
        changes.mark_unchanged();
        let (lines, end) = watch.lines(&fake);
        for line in lines {
            if say.send(Ok(Bytes::from(line))).await.is_err() {
                return End::Done;
            }
        }
        if let Some(end) = end {
            return end;
        }
        let is_silent = fake.lock().silent.is_some_and(|silent| watch.epoch <= silent);
        // An ending server keeps its watches for 61 s, whatever they were asked to last.
        let until = if is_silent { Instant::now() + Duration::from_secs(61) } else { watch.until };
        tokio::select! {
            next = timeout_at(until, changes.changed()) => if next.is_err() {
                return if is_silent { End::Cut } else { End::Done };
            },
            () = say.closed() => return End::Done,
        }
    }
}

impl Watch {
    fn lines(&mut self, fake: &Fake) -> (Vec<String>, Option<End>) {
        let state = fake.lock();
        if state.silent.is_some_and(|silent| self.epoch <= silent) {
            return (Vec::new(), None);
        }
        if state.epoch != self.epoch {
            return (Vec::new(), Some(End::Cut));
        }
        let fault = state.in_streams.get(self.heard).copied();
        self.heard = state.in_streams.len();
        match fault {
            Some(InStream::Error(code)) => return (vec![error(code)], None),
            Some(InStream::Cut) => return (vec![r#"{"type":"MODIFIED","obj"#.to_owned()], Some(End::Cut)),
            Some(InStream::Garbage) => return (vec!["{\"type\":\"MODIFIED\",\"object\":\"what?\"}\n".to_owned()], None),
            None => {}
        }
        if self.version < state.store.floor {
            return (vec![error(410)], Some(End::Done));
        }
        let news = state.store.log.iter().filter(|change| change.version > self.version);
        let news = news.filter(|change| change.key.0 == self.kind && change.key.1 == self.namespace);
        let mut lines: Vec<_> = news
            .filter(|change| has_labels(&change.object, &self.labels))
            .map(|change| line(change.word, &change.object))
            .collect();
        if lines.is_empty() && state.store.version > self.version {
            let metadata = json!({ "resourceVersion": state.store.version.to_string() });
            lines.push(line("BOOKMARK", &json!({ "kind": "Any", "apiVersion": "v1", "metadata": metadata })));
        }
        self.version = state.store.version;
        (lines, None)
    }
}

fn line(word: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": word, "object": object }))
}

fn error(code: u16) -> String {
    let reason = if code == 410 { "Expired" } else { "InternalError" };
    let status =
        json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "too old resource version" });
    line("ERROR", &status)
}
