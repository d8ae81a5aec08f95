//! Texts with a grammar of their own: names, addresses, paths, header fields, regular expressions, secrets.

use std::net::SocketAddr;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use schemars::{Schema, json_schema};

use crate::config::problem::did_you_mean;
use crate::config::shape::{Mistake, Textual};
use crate::model::{Address, Bind, HashKey, Id, IpRange, RateKey, Secret};

/// A compiled expression may use this much: far above any path, and a bit below the 1 MiB that `route` allows, which compiles it
/// for bytes as well.
const REGEX_SIZE_LIMIT: usize = 960 * 1024;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A label that an endpoint offers and a request may require.
#[derive(Debug, Clone)]
pub(in crate::config) struct Capability(pub(in crate::config) String);

/// A file; relative to the folder of the config.
#[derive(Debug, Clone)]
pub(in crate::config) struct FilePath(pub(in crate::config) String);

/// A path of a request, without query.
#[derive(Debug, Clone)]
pub(in crate::config) struct PathText(pub(in crate::config) String);

/// A path and query to redirect to.
#[derive(Debug, Clone)]
pub(in crate::config) struct TargetText(pub(in crate::config) String);

/// A regular expression that compiles.
#[derive(Debug, Clone)]
pub(in crate::config) struct RegexText(pub(in crate::config) String);

/// The address of the admin server.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct AdminBind(pub(in crate::config) SocketAddr);

/// A log level or directives.
#[derive(Debug, Clone)]
pub(in crate::config) struct LogLevel(pub(in crate::config) String);

/// The name of this proxy in `Via` and its like.
#[derive(Debug, Clone)]
pub(in crate::config) struct Pseudonym(pub(in crate::config) String);

/// The status of an answer that is made here.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct FinalStatus(pub(in crate::config) StatusCode);

/// The status of a redirect.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct RedirectStatus(pub(in crate::config) StatusCode);

impl Textual for String {
    const EXPECTED: &'static str = "a text";

    fn read(text: &str) -> Result<Self, Mistake> {
        Ok(text.to_owned())
    }
}

/// Takes the grammar of a type from its `FromStr`.
macro_rules! from_str {
    ($($type:ty, $expected:literal, $schema:tt;)*) => {
        $(impl Textual for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Result<Self, Mistake> {
                text.parse().map_err(|error: <$type as FromStr>::Err| error.to_string().into())
            }

            fn schema() -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

from_str! {
    Id, "a name", { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]*$", "maxLength": 253 };
    Bind, "an address such as `0.0.0.0:8080`, `:8080` or `unix:/path`", { "type": "string", "examples": ["0.0.0.0:8080", ":8080", "unix:/run/tidegate.sock"] };
    Address, "an address such as `10.0.0.1:8080` or `unix:/path`", { "type": "string", "examples": ["10.0.0.1:8080", "agents.local:9000", "unix:/run/agent.sock"] };
    IpRange, "an address range such as `10.0.0.0/8`", { "type": "string", "examples": ["10.0.0.0/8", "fd00::/8"] };
}

impl Textual for HeaderName {
    const EXPECTED: &'static str = "the name of a header field";

    fn read(text: &str) -> Result<Self, Mistake> {
        Self::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not the name of a header field").into())
    }
}

impl Textual for HeaderValue {
    const EXPECTED: &'static str = "the value of a header field";

    fn read(text: &str) -> Result<Self, Mistake> {
        // RFC 9110 section 5.5: no white space at either end, and what is not ASCII has no agreed meaning.
        let is_plain = text.is_ascii() && text.trim_matches([' ', '\t']) == text;
        Self::from_str(text)
            .ok()
            .filter(|_| is_plain)
            .ok_or_else(|| format!("{text:?} is not the value of a header field: visible ASCII, with spaces only inside").into())
    }
}

impl Textual for Method {
    const EXPECTED: &'static str = "an HTTP method such as `GET`";

    fn read(text: &str) -> Result<Self, Mistake> {
        const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY"];
        if text == "CONNECT" {
            return Err("CONNECT is never forwarded".to_owned().into());
        }
        let upper = text.to_ascii_uppercase();
        if upper != text && KNOWN.contains(&upper.as_str()) {
            let suggestion = Some(format!("did you mean \"{upper}\"?"));
            return Err(Mistake { message: format!("methods are case-sensitive, found {text:?}"), suggestion });
        }
        Self::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not an HTTP method").into())
    }
}

impl Textual for HashKey {
    const EXPECTED: &'static str = "`header:NAME`, `cookie:NAME`, `query:NAME`, `path` or `client_address`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        match (kind, name.is_empty()) {
            ("path", true) if kind == text => Ok(Self::Path),
            ("client_address", true) if kind == text => Ok(Self::ClientAddress),
            ("header", false) => HeaderName::read(name).map(Self::Header),
            // RFC 6265 section 4.1.1: the name of a cookie is a token.
            ("cookie", false) if is_token(name) => Ok(Self::Cookie(name.to_owned())),
            ("query", false) => Ok(Self::Query(name.to_owned())),
            _ => {
                let suggestion = did_you_mean(kind, ["header", "cookie", "query", "path", "client_address"])
                    .filter(|word| word != kind)
                    .map(|word| format!("did you mean \"{word}\"?"));
                Err(Mistake { message: format!("expected {}, found {text:?}", Self::EXPECTED), suggestion })
            }
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^(header|cookie|query):.+$|^path$|^client_address$" })
    }
}

impl Textual for RateKey {
    const EXPECTED: &'static str = "`route`, `client_address` or `header:NAME`";

    fn read(text: &str) -> Result<Self, Mistake> {
        match (text, text.split_once(':')) {
            ("route", _) => Ok(Self::Route),
            ("client_address", _) => Ok(Self::ClientAddress),
            (_, Some(("header", name))) if !name.is_empty() => HeaderName::read(name).map(Self::Header),
            (_, parts) => {
                let word = parts.map_or(text, |(kind, _)| kind);
                let suggestion = did_you_mean(word, ["route", "client_address", "header"]).map(|word| match word.as_str() {
                    "header" => "did you mean \"header:NAME\"?".to_owned(),
                    word => format!("did you mean \"{word}\"?"),
                });
                Err(Mistake { message: format!("expected {}, found {text:?}", Self::EXPECTED), suggestion })
            }
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^header:.+$|^route$|^client_address$" })
    }
}

impl Textual for Secret {
    const EXPECTED: &'static str = "a secret text";

    // No message here repeats the text.
    fn read(text: &str) -> Result<Self, Mistake> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a token is not empty, and made of visible ASCII characters without spaces".to_owned().into());
        }
        Ok(Self::new(text.to_owned()))
    }
}

impl Textual for Capability {
    const EXPECTED: &'static str = "a capability";

    fn read(text: &str) -> Result<Self, Mistake> {
        let is_good = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-' | b'/'));
        if is_good {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("a capability is 1 to 128 letters, digits, `_`, `.`, `:`, `-` or `/`, found {text:?}").into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_.:/-]{1,128}$" })
    }
}

impl Textual for FilePath {
    const EXPECTED: &'static str = "a file";

    fn read(text: &str) -> Result<Self, Mistake> {
        if text.is_empty() || text.contains('\0') {
            return Err("a file has a name".to_owned().into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Textual for PathText {
    const EXPECTED: &'static str = "a path that begins with `/`";

    fn read(text: &str) -> Result<Self, Mistake> {
        if !text.starts_with('/') {
            let suggestion = Some(format!("did you mean \"/{}\"?", text.trim_start()));
            return Err(Mistake { message: format!("a path begins with `/`, found {text:?}"), suggestion });
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(
                format!("a path has no {bad:?}: other characters are percent-encoded, and a query is matched by `query`").into()
            );
        }
        // The path of a request is normalised before it is matched, so these would never be met.
        if text.contains("//") || text.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(format!("{text:?} never occurs: `//`, `/./` and `/../` are resolved before a path is matched").into());
        }
        let normal = normal_escapes(text).ok_or_else(|| format!("a `%` is followed by two hexadecimal digits, found {text:?}"))?;
        if normal != text {
            let message = format!("{text:?} never occurs: escapes are put into their normal form before a path is matched");
            return Err(Mistake { message, suggestion: Some(format!("did you mean \"{normal}\"?")) });
        }
        Ok(Self(text.to_owned()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

impl Textual for TargetText {
    const EXPECTED: &'static str = "a path that begins with `/`, with a query if wanted";

    fn read(text: &str) -> Result<Self, Mistake> {
        let is_good = text.starts_with('/')
            && text.bytes().all(|b| b.is_ascii_graphic())
            && http::uri::PathAndQuery::from_str(text).is_ok_and(|parsed| parsed.as_str() == text);
        if is_good { Ok(Self(text.to_owned())) } else { Err(format!("expected {}, found {text:?}", Self::EXPECTED).into()) }
    }

    fn schema() -> Schema {
        PathText::schema()
    }
}

impl Textual for RegexText {
    const EXPECTED: &'static str = "a regular expression";

    fn read(text: &str) -> Result<Self, Mistake> {
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).build();
        // On its own first: `a)|(b` is none, but would become one between brackets. Then as routes use it, where the whole text must
        // match; in `x` mode it may end in a comment that swallows the bracket.
        build(text).and_then(|_| build(&format!(r"\A(?:{text})\z")).or_else(|_| build(&format!("\\A(?:{text}\n)\\z")))).map_err(
            |error| {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Mistake::from(format!("the regular expression does not compile: {last}"))
            },
        )?;
        Ok(Self(text.to_owned()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "regex" })
    }
}

impl Textual for AdminBind {
    const EXPECTED: &'static str = "an address such as `127.0.0.1:9900`, or `none`";

    fn read(text: &str) -> Result<Self, Mistake> {
        match text.parse() {
            Ok(Bind::Tcp(address)) => Ok(Self(address)),
            Ok(Bind::Unix(_)) => Err("the admin server listens on TCP only".to_owned().into()),
            Err(_) => Err(format!("expected {}, found {text:?}", Self::EXPECTED).into()),
        }
    }
}

impl Textual for LogLevel {
    const EXPECTED: &'static str = "a log level such as `info`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let is_bare = !text.contains(['=', ',']);
        if is_bare && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
            let suggestion = did_you_mean(text, LEVELS).map(|word| format!("did you mean \"{word}\"?")).unwrap_or_else(|| {
                format!("levels are {}; directives look like \"info,tidegate::upstream=debug\"", LEVELS.join(", "))
            });
            return Err(Mistake { message: format!("unknown level {text:?}"), suggestion: Some(suggestion) });
        }
        tracing_subscriber::EnvFilter::try_new(text).map_err(|error| Mistake::from(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }
}

impl Textual for Pseudonym {
    const EXPECTED: &'static str = "a name";

    fn read(text: &str) -> Result<Self, Mistake> {
        // RFC 9110 section 7.6.3: a pseudonym is a token.
        if is_token(text) && text.len() <= 64 {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("expected 1 to 64 letters, digits, `-`, `_` or `.`, found {text:?}").into())
    }
}

impl Textual for FinalStatus {
    const EXPECTED: &'static str = "a status from 200 to 599";

    fn read(text: &str) -> Result<Self, Mistake> {
        text.parse()
            .ok()
            .filter(|status: &StatusCode| (200..600).contains(&status.as_u16()))
            .map(Self)
            .ok_or_else(|| format!("expected {}, found {text:?}", Self::EXPECTED).into())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": 200, "maximum": 599 })
    }
}

impl Textual for RedirectStatus {
    const EXPECTED: &'static str = "301, 302, 303, 307 or 308";

    fn read(text: &str) -> Result<Self, Mistake> {
        text.parse()
            .ok()
            .filter(|status: &StatusCode| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308))
            .map(Self)
            .ok_or_else(|| format!("a redirect has the status {}, found {text:?}", Self::EXPECTED).into())
    }

    fn schema() -> Schema {
        json_schema!({ "enum": [301, 302, 303, 307, 308] })
    }
}

/// Decodes escapes of unreserved characters and gives the others capital digits, as paths are normalised (RFC 3986 section 6.2.2).
fn normal_escapes(text: &str) -> Option<String> {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(char::from(byte));
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        rest = after.get(2..)?;
    }
    normal.push_str(rest);
    Some(normal)
}

/// Tells whether the text is a token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good<T: Textual>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(T::read(text).is_ok(), "{text:?} was refused"));
    }

    fn bad<T: Textual>(texts: &[&str]) {
        texts.iter().for_each(|text| assert!(T::read(text).is_err(), "{text:?} was taken"));
    }

    #[test]
    fn methods_are_tokens_in_their_own_case() {
        good::<Method>(&["GET", "PURGE", "M-SEARCH"]);
        bad::<Method>(&["get", "CONNECT", "", "A B"]);
    }

    #[test]
    fn hash_keys_name_where_they_come_from() {
        good::<HashKey>(&["header:x-session-id", "cookie:sid", "query:a b", "path", "client_address"]);
        bad::<HashKey>(&["header:", "header: x", "cookie:a=b", "path:", "path:x", "ip", ""]);
    }

    #[test]
    fn rate_keys_say_whose_requests_are_counted_together() {
        good::<RateKey>(&["route", "client_address", "header:x-user"]);
        bad::<RateKey>(&["", "header", "header:", "header:a b", "route:x", "cookie:a", "ip"]);
        assert_eq!(RateKey::read("headr:x").unwrap_err().suggestion.as_deref(), Some("did you mean \"header:NAME\"?"));
    }

    #[test]
    fn paths_are_those_that_a_request_can_have() {
        good::<PathText>(&["/", "/a/b", "/a%20b", "/a%2Fb", "/~a", "/a/..."]);
        bad::<PathText>(&["", "a", "/a?b", "/a b", "/é", "/%7Ea", "/%2f", "/%", "/%g0", "/%+1", "//", "/a/../b", "/./a", "/a/.."]);
        good::<TargetText>(&["/", "/a?b=c"]);
        bad::<TargetText>(&["a", "/a#b", "/a b", ""]);
    }

    #[test]
    fn regular_expressions_compile_and_stay_small() {
        good::<RegexText>(&["/v[0-9]+/.*", "a|b", "", "(?x)a # why"]);
        bad::<RegexText>(&["(", "a)|(b", "(?<n", "(a{1000}){1000}", "[z-a]", "\\"]);
    }

    #[test]
    fn secrets_are_not_repeated_in_messages() {
        assert!(!Secret::read("hunter two").unwrap_err().message.contains("hunter"));
        bad::<Secret>(&["", "a b", "é", "a\n"]);
    }

    #[test]
    fn levels_are_known_words_or_directives() {
        good::<LogLevel>(&["info", "WARN", "info,tidegate::upstream=debug", "tidegate=trace"]);
        bad::<LogLevel>(&["inof", "", "tidegate=loud"]);
    }

    #[test]
    fn header_fields_are_those_of_http() {
        good::<HeaderName>(&["x-a", "X-A"]);
        bad::<HeaderName>(&["", "a b", "a:", "é"]);
        good::<HeaderValue>(&["", "a b", "a\tb"]);
        bad::<HeaderValue>(&["a\r\nb: c", " a", "é", "a\0"]);
    }

    #[test]
    fn statuses_are_those_that_make_sense() {
        good::<FinalStatus>(&["200", "503"]);
        bad::<FinalStatus>(&["100", "199", "600", "OK", ""]);
        good::<RedirectStatus>(&["301", "308"]);
        bad::<RedirectStatus>(&["300", "304", "200"]);
    }

    #[test]
    fn the_admin_server_listens_on_tcp() {
        good::<AdminBind>(&["127.0.0.1:9900", "localhost:9900", ":9900", "[::1]:0"]);
        bad::<AdminBind>(&["unix:/run/a", "9900", "name:1"]);
    }
}
