//! Agents: endpoints whose streams are in the hand of the test, and endpoints that speak WebSocket.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::lab::{Body, Endpoint, soon};

/// A body that comes piece by piece, as the test says; it ends when the sender is dropped.
pub fn body_in_hand() -> (UnboundedSender<&'static str>, Body) {
    let (say, mut said) = mpsc::unbounded_channel::<&'static str>();
    let pieces = futures_util::stream::poll_fn(move |cx| {
        said.poll_recv(cx).map(|piece| piece.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    });
    (say, BodyExt::boxed(StreamBody::new(pieces)))
}

/// An endpoint that answers every request with a stream.
pub struct Agent {
    pub address: SocketAddr,
    _endpoint: Endpoint,
    streams: UnboundedReceiver<UnboundedSender<&'static str>>,
}

impl Agent {
    /// Starts it.
    pub async fn start() -> Self {
        let (begun, streams) = mpsc::unbounded_channel();
        let endpoint = Endpoint::start(move |_| {
            let (say, body) = body_in_hand();
            // The test may be over.
            let _ = begun.send(say);
            async move { Response::new(body) }
        })
        .await;
        Self { address: endpoint.address, _endpoint: endpoint, streams }
    }

    /// Waits for the next request, and returns what its answer is written with.
    pub async fn next(&mut self) -> UnboundedSender<&'static str> {
        soon(self.streams.recv()).await.expect("the endpoint should run")
    }
}

/// Returns the next piece of a response's body; `None` when it ended as it should.
pub async fn piece(body: &mut Incoming) -> Option<String> {
    loop {
        let frame = soon(body.frame()).await?.expect("the stream should not be cut");
        // HTTP/2 ends a stream with an empty one.
        if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
            return Some(String::from_utf8_lossy(&data).into_owned());
        }
    }
}

/// An endpoint that sends every WebSocket message back.
pub struct Echo {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        if !message.is_close() && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client's WebSocket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one.
    pub async fn open(address: SocketAddr, path: &str) -> Self {
        let url = format!("ws://{address}{path}");
        Self(soon(tokio_tungstenite::connect_async(url)).await.expect("a WebSocket").0)
    }

    /// Sends a text and returns what comes back.
    pub async fn echo(&mut self, text: &str) -> String {
        soon(self.0.send(Message::text(text))).await.expect("the WebSocket should be open");
        let message = soon(self.0.next()).await.expect("the WebSocket should be open").expect("a message");
        message.into_text().expect("a text").to_string()
    }
}
