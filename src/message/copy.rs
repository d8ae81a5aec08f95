//! A copy of a head's fields in one piece of memory: cheap to make and to throw away, dear to read.
//!
//! For what is kept of every request and nearly never used. A clone of a header map costs an allocation and two counts for each field.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What a field usually takes: a name, a value, and what stands before them.
const USUAL: usize = 56;

/// Bytes before each field: the lengths of its name and its value, whose highest bit says that it is sensitive.
const PREFIX: usize = 8;
const SENSITIVE: u32 = 1 << 31;

/// A copy of header fields, in their order.
#[derive(Clone, Debug)]
pub struct HeadCopy {
    text: Vec<u8>,
    fields: usize,
}

impl HeadCopy {
    /// Copies `headers`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut text = Vec::with_capacity(headers.len() * USUAL);
        for (name, value) in headers {
            let (name, value, sensitive) = (name.as_str().as_bytes(), value.as_bytes(), value.is_sensitive());
            // A header map holds no name beyond 64 KiB, and a head no value beyond what a `u32` counts.
            let length = value.len() as u32 & !SENSITIVE | if sensitive { SENSITIVE } else { 0 };
            let mut prefix = [0; PREFIX];
            prefix[..4].copy_from_slice(&(name.len() as u32).to_le_bytes());
            prefix[4..].copy_from_slice(&length.to_le_bytes());
            text.extend_from_slice(&prefix);
            text.extend_from_slice(name);
            text.extend_from_slice(value);
        }
        Self { text, fields: headers.len() }
    }

    /// Makes a header map of it.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.fields);
        let mut rest = &self.text[..];
        while let Some((prefix, fields)) = rest.split_at_checked(PREFIX) {
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let (name_len, length) = (number(&prefix[..4]) as usize, number(&prefix[4..]));
            let (name, fields) = fields.split_at(name_len);
            let (value, next) = fields.split_at((length & !SENSITIVE) as usize);
            rest = next;
            if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                value.set_sensitive(length & SENSITIVE != 0);
                headers.append(name, value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_sensitive_value_stays_one() {
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("authorization"), secret),
            (HeaderName::from_static("accept"), HeaderValue::from_static("*/*")),
        ]);
        let copied = HeadCopy::of(&headers).headers();
        assert_eq!(copied, headers);
        assert!(copied["authorization"].is_sensitive() && !copied["accept"].is_sensitive());
    }

    proptest! {
        #[test]
        fn a_copy_has_what_the_head_had(
            fields in prop::collection::vec(("[a-z][a-z0-9-]{0,30}", prop::collection::vec(0x20_u8..=0x7e, 0..200), any::<bool>()), 0..40),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value, again) in fields {
                let name = HeaderName::try_from(name).unwrap();
                let value = HeaderValue::from_bytes(&value).unwrap();
                if again {
                    headers.append(name.clone(), HeaderValue::from_static("another"));
                }
                headers.append(name, value);
            }
            prop_assert_eq!(HeadCopy::of(&headers).headers(), headers);
        }
    }
}
