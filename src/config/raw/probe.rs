//! Texts of breakers and health checks: statuses, JSON pointers, webhooks.

use http::Uri;
use http::uri::Authority;
use schemars::{Schema, json_schema};

use crate::config::shape::{Mistake, Textual};

/// Statuses from the first to the second, both included.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Statuses(pub(in crate::config) u16, pub(in crate::config) u16);

/// A place in a JSON document.
#[derive(Debug, Clone)]
pub(in crate::config) struct Pointer(pub(in crate::config) String);

/// An absolute `http` or `https` address.
#[derive(Debug, Clone)]
pub(in crate::config) struct Webhook(pub(in crate::config) String);

impl Textual for Statuses {
    const EXPECTED: &'static str = "a status such as `200`, or a range such as `200-299`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let status = |text: &str| {
            let is_plain = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten().filter(|status| (100..600).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first.trim_end()), status(last.trim_start())) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first, last)),
            (Some(_), Some(_)) => Err(format!("a range begins with its lower end, found {text:?}").into()),
            _ => Err(format!("expected {}, from 100 to 599, found {text:?}", Self::EXPECTED).into()),
        }
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^[1-5][0-9][0-9]( *- *[1-5][0-9][0-9])?$" },
            ]
        })
    }
}

impl Textual for Pointer {
    const EXPECTED: &'static str = "a JSON pointer such as `/status`";

    fn read(text: &str) -> Result<Self, Mistake> {
        // RFC 6901 section 3: empty is the whole document; `~` is the escape, for itself and for `/`.
        if !text.is_empty() && !text.starts_with('/') {
            let suggestion = Some(format!("did you mean \"/{text}\"?"));
            return Err(Mistake { message: format!("a JSON pointer begins with `/`, found {text:?}"), suggestion });
        }
        if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(format!("in a JSON pointer `~` is written `~0`, found {text:?}").into());
        }
        Ok(Self(text.to_owned()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(/([^~]|~[01])*)?$" })
    }
}

impl Textual for Webhook {
    const EXPECTED: &'static str = "an address such as `https://ops.example.com/heal`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let authority = absolute(text).ok_or_else(|| format!("expected {}, found {text:?}", Self::EXPECTED))?;
        if authority.as_str().contains('@') {
            return Err("a webhook has no user and password: give its `token`".to_owned().into());
        }
        Ok(Self(text.to_owned()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "uri", "pattern": "^https?://" })
    }
}

/// Returns host and port of an absolute `http` or `https` address; `None` when the text is none.
pub(super) fn absolute(text: &str) -> Option<Authority> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
    // `Uri` also takes a port that is none, such as `a:` or `a:99999`.
    let is_port = |port: &str| !port.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    let host_and_port = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, rest)| rest);
    let port = host_and_port.strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
    let is_good = matches!(uri.scheme_str(), Some("http" | "https")) && !text.contains('#') && port.is_none_or(is_port);
    is_good.then(|| authority.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_single_or_ranges_that_go_up() {
        let read = |text| Statuses::read(text).map(|Statuses(first, last)| (first, last));
        assert_eq!(read("200"), Ok((200, 200)));
        assert_eq!(read("200-299"), Ok((200, 299)));
        assert_eq!(read("100 - 599"), Ok((100, 599)));
        for text in ["", "99", "600", "0200", "2xx", "299-200", "200-", "-200", "200-600", "200-299-300", "+20"] {
            assert!(Statuses::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        for text in ["", "/status", "/a/0/b", "/a~1b~0", "/"] {
            assert!(Pointer::read(text).is_ok(), "{text}");
        }
        for text in ["status", "/a~", "/a~2", "$.a"] {
            assert!(Pointer::read(text).is_err(), "{text}");
        }
        assert_eq!(Pointer::read("status").unwrap_err().suggestion.as_deref(), Some("did you mean \"/status\"?"));
    }

    #[test]
    fn webhooks_are_absolute() {
        for text in ["http://ops/heal", "https://ops.example.com:8443/heal?x=1", "https://[::1]:80", "HTTPS://a"] {
            assert!(Webhook::read(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "/heal",
            "ops/heal",
            "ftp://ops/heal",
            "http://",
            "http:///x",
            "https://u:p@ops/",
            "http://a b",
            "http://a/#x",
            "http://a:/",
            "http://a:99999",
        ] {
            assert!(Webhook::read(text).is_err(), "{text}");
        }
    }
}
