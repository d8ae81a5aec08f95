//! The limits on a head that HTTP/2 brings: the guard, which reads bytes, checks them for HTTP/1 only.
//!
//! The bytes of the whole head are not counted here: hyper does, as the largest header list.

use http::header::COOKIE;
use http::{Request, Version};

use crate::message::Refusal;
use crate::model::{Limits, Reason};

/// What HTTP/1 puts around method and target: a request is as long here as it would be there.
const AROUND: usize = "  HTTP/1.1".len();

/// Refuses a request of HTTP/2 with more fields, or a longer method and target, than the listener takes.
///
/// # Errors
/// `TooManyHeaders` or `TargetTooLong`.
pub(super) fn check<B>(limits: &Limits, request: &Request<B>) -> Result<(), Refusal> {
    if request.version() < Version::HTTP_2 {
        return Ok(());
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if request.method().as_str().len() + target + AROUND > limits.request_line as usize {
        return Err(Refusal::new(Reason::TargetTooLong, "method and target are longer than this listener takes"));
    }
    let most = usize::from(limits.headers);
    let fields = request.headers().len();
    // RFC 9113 section 8.2.3: a client may send each cookie as a field of its own; together they are one.
    if fields > most && fields - request.headers().get_all(COOKIE).iter().count().saturating_sub(1) > most {
        return Err(Refusal::new(Reason::TooManyHeaders, "there are more fields than this listener takes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(version: Version, path: &str, names: &[&str]) -> Option<Reason> {
        let limits = Limits { headers: 2, request_line: 20, ..Limits::default() };
        let mut request = Request::get(format!("http://a.test{path}")).version(version);
        for name in names {
            request = request.header(*name, "x");
        }
        check(&limits, &request.body(()).unwrap()).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn http2_is_held_to_the_number_of_fields() {
        assert_eq!(reason(Version::HTTP_2, "/", &["a", "b"]), None);
        assert_eq!(reason(Version::HTTP_2, "/", &["a", "b", "b"]), Some(Reason::TooManyHeaders));
        assert_eq!(reason(Version::HTTP_11, "/", &["a", "b", "c"]), None);
    }

    #[test]
    fn cookies_sent_one_by_one_count_as_one_field() {
        assert_eq!(reason(Version::HTTP_2, "/", &["a", "cookie", "cookie", "cookie"]), None);
        assert_eq!(reason(Version::HTTP_2, "/", &["a", "b", "cookie", "cookie"]), Some(Reason::TooManyHeaders));
    }

    #[test]
    fn http2_is_held_to_the_length_of_the_request_line() {
        assert_eq!(reason(Version::HTTP_2, "/345678", &[]), None);
        assert_eq!(reason(Version::HTTP_2, "/3456789", &[]), Some(Reason::TargetTooLong));
    }
}
