//! What a client gets: an endpoint's response on its way, or an answer made here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::heartbeat::{Next, Waiting};
use super::record::Record;
use super::stall;
use crate::message::body::Cut;
use crate::model::{FixedResponse, Outcome};
use crate::pool::Download;

/// The body of a response to a client; when it is dropped, its request is over and is recorded.
#[derive(Debug)]
pub(super) struct ReplyBody {
    content: Content,
    /// What is left of a frame that is handed on in parts.
    rest: Bytes,
    in_parts: bool,
    /// Whether trailers are left out, which the head did not announce.
    is_joined: bool,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
enum Content {
    /// Made here, in one piece.
    Made(Option<Bytes>),
    /// Not here yet; the client hears of that.
    Waiting(Box<Waiting>),
    /// An endpoint's.
    Passed(Box<Download>),
    /// Cut: what is missing was not sent.
    Cut(Cut),
}

impl ReplyBody {
    const fn new(content: Content, record: Option<Box<Record>>) -> Self {
        Self { content, rest: Bytes::new(), in_parts: false, is_joined: false, record }
    }

    pub(super) const fn made(content: Option<Bytes>, record: Box<Record>) -> Self {
        Self::new(Content::Made(content), Some(record))
    }

    pub(super) const fn passed(download: Box<Download>, record: Box<Record>) -> Self {
        Self::new(Content::Passed(download), Some(record))
    }

    /// A body of signs of life, until there is another one.
    pub(super) const fn waiting(waiting: Box<Waiting>, record: Box<Record>) -> Self {
        Self::new(Content::Waiting(waiting), Some(record))
    }

    /// A body whose request goes on elsewhere, and is recorded there.
    pub(super) const fn switched() -> Self {
        Self::new(Content::Made(None), None)
    }

    /// Hands on large frames in parts, so that a stream of HTTP/2 is seen to move while its client takes one.
    pub(super) const fn in_parts(&mut self) {
        self.in_parts = true;
    }

    /// Keeps back what is more than a part.
    fn part(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) => {
                if self.in_parts && data.len() > stall::PART {
                    self.rest = data.split_off(stall::PART);
                }
                Frame::data(data)
            }
            Err(other) => other,
        }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        match &mut self.content {
            Content::Made(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Content::Passed(download) if self.is_joined => {
                let frame = ready!(Pin::new(&mut **download).poll_frame(cx));
                Poll::Ready(frame.filter(|frame| frame.as_ref().map_or(true, |frame| !frame.is_trailers())))
            }
            Content::Passed(download) => Pin::new(&mut **download).poll_frame(cx),
            Content::Waiting(_) => self.poll_waiting(cx),
            Content::Cut(cut) => Poll::Ready(Some(Err(*cut))),
        }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let (Content::Waiting(waiting), Some(record)) = (&mut self.content, &mut self.record) else { return Poll::Ready(None) };
        let (content, frame) = match ready!(waiting.poll_next(record, cx)) {
            Next::Beat(comment) => return Poll::Ready(Some(Ok(Frame::data(comment)))),
            Next::Events(download) => {
                (self.content, self.is_joined) = (Content::Passed(download), true);
                return self.poll_content(cx);
            }
            Next::Problem(event) => (Content::Made(None), Ok(Frame::data(event))),
            Next::Cut(cut) => (Content::Cut(cut), Err(cut)),
        };
        self.content = content;
        Poll::Ready(Some(frame))
    }

    fn count(&mut self, frame: &Frame<Bytes>) {
        if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
            record.sent(data.len());
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        let frame = this.poll_content(cx).map_ok(|frame| this.part(frame));
        if let Some(record) = &this.record {
            record.body_asked(&frame);
        }
        match &frame {
            Poll::Ready(Some(Ok(frame))) => this.count(frame),
            Poll::Ready(Some(Err(cut))) if matches!(this.content, Content::Passed(_)) => {
                // An error makes hyper throw away what it has not written yet, the head too: one turn lets that leave first.
                this.content = Content::Cut(*cut);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            _ if !self.rest.is_empty() => false,
            Content::Made(content) => content.is_none(),
            Content::Passed(download) => download.is_end_stream(),
            Content::Waiting(_) | Content::Cut(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            // hyper asks only before the first frame.
            _ if !self.rest.is_empty() => SizeHint::default(),
            Content::Made(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Content::Passed(download) => download.size_hint(),
            Content::Waiting(_) | Content::Cut(_) => SizeHint::default(),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        let untaken = !self.rest.is_empty() || self.record.as_ref().is_some_and(|record| record.is_cut());
        let outcome = match &self.content {
            Content::Made(_) | Content::Passed(_) if untaken => Outcome::Aborted,
            Content::Cut(cut) => Outcome::Truncated(cut.0),
            Content::Passed(download) if !download.is_over() => Outcome::Aborted,
            Content::Made(Some(_)) | Content::Waiting(_) => Outcome::Aborted,
            Content::Passed(_) | Content::Made(None) => Outcome::Completed,
        };
        if let Some(record) = &mut self.record {
            record.finish(outcome);
        }
    }
}

/// An answer from the file, prepared.
#[derive(Debug)]
pub(super) struct Fixed {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Fixed {
    pub(super) fn new(response: &FixedResponse) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &response.headers {
            headers.append(name.clone(), value.clone());
        }
        Self { status: response.status, headers, body: Bytes::from(response.body.clone()) }
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// Sends `made` as the answer to a request of `method`, recorded by `record`.
pub(super) fn send_made(made: Response<Bytes>, method: &Method, mut record: Box<Record>) -> Response<ReplyBody> {
    let (mut head, body) = made.into_parts();
    // RFC 9110 section 6.6.1: who makes a response dates it.
    if let Some(now) = http_date() {
        head.headers.insert(DATE, now);
    }
    record.answered(head.status, None);
    let bodiless = head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304);
    if *method == Method::HEAD && !bodiless {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let content = (*method != Method::HEAD && !bodiless && !body.is_empty()).then_some(body);
    Response::from_parts(head, ReplyBody::made(content, record))
}

pub(super) fn http_date() -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).ok()?;
    HeaderValue::try_from(text).ok()
}
