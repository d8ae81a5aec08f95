//! A byte stream to an endpoint: TCP or Unix, plain or in TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP, with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// A byte stream to an endpoint.
#[derive(Debug)]
pub enum Stream {
    /// The socket itself.
    Plain(Socket),
    /// TLS over the socket; in a box, as its state is a hundred times the socket's.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// Returns what ALPN chose.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

/// Calls the same method of whichever stream there is.
macro_rules! each {
    ($self:expr, [$($variant:path),*], $stream:ident => $call:expr) => {
        match $self {
            $($variant($stream) => $call,)*
        }
    };
}

macro_rules! delegate {
    ($type:ty, $variants:tt) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $variants, stream => Pin::new(stream).poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                each!(self.get_mut(), $variants, stream => Pin::new(stream).poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                parts: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!(self.get_mut(), $variants, stream => Pin::new(stream).poll_write_vectored(cx, parts))
            }

            fn is_write_vectored(&self) -> bool {
                each!(self, $variants, stream => stream.is_write_vectored())
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $variants, stream => Pin::new(stream).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $variants, stream => Pin::new(stream).poll_shutdown(cx))
            }
        }
    };
}

delegate!(Socket, [Socket::Tcp, Socket::Unix]);
delegate!(Stream, [Stream::Plain, Stream::Tls]);
