//! What is a PROXY header, what is not, and that it does not matter how the bytes arrive.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, block].concat()
}

fn header(source: &str, len: usize) -> Parsed {
    Parsed::Header { source: (!source.is_empty()).then(|| source.parse().unwrap()), len }
}

#[test]
fn version_1_lines_are_read() {
    for (line, source) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", "192.0.2.1:56324"),
        ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "[2001:db8::1]:1"),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", "255.255.255.255:65535"),
        ("PROXY UNKNOWN\r\n", ""),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""),
    ] {
        let bytes = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&bytes), header(source, line.len()), "{line}");
    }
}

#[test]
fn what_is_no_version_1_line_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for line in [
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n",
        &long,
    ] {
        assert!(matches!(parse(line.as_bytes()), Parsed::Invalid(_)), "{line}");
    }
}

#[test]
fn version_1_takes_at_most_107_bytes() {
    let line = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(line.len(), MAX_V1);
    assert_eq!(parse(line.as_bytes()), header("", MAX_V1));
    assert_eq!(parse(&line.as_bytes()[..106]), Parsed::Incomplete);
    assert!(matches!(parse(&[&line.as_bytes()[..105], b"xx"].concat()), Parsed::Invalid(_)));
}

#[test]
fn version_2_headers_are_read() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 1, 187];
    let mut v6 = [0; 36];
    v6[15] = 1;
    v6[33] = 80;
    let with_extensions = [&v4[..], &[0x20, 0, 3, 1, 2, 3]].concat();
    for (bytes, source) in [
        (v2(0x21, 0x11, &v4), "192.0.2.1:4660"),
        (v2(0x21, 0x11, &with_extensions), "192.0.2.1:4660"),
        (v2(0x21, 0x21, &v6), "[::1]:80"),
        (v2(0x21, 0x31, &[b'a'; 216]), ""),
        (v2(0x21, 0x00, &[]), ""),
        (v2(0x20, 0x00, &[]), ""),
        (v2(0x20, 0x11, &[1]), ""),
        (v2(0x21, 0x11, &[&v4[..], &[0; 4084]].concat()), "192.0.2.1:4660"),
    ] {
        let received = [&bytes[..], b"GET"].concat();
        assert_eq!(parse(&received), header(source, bytes.len()), "{bytes:?}");
    }
}

#[test]
fn what_is_no_version_2_header_is_refused() {
    for bytes in [
        v2(0x22, 0x11, &[0; 12]),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x12, &[0; 12]),
        v2(0x21, 0x22, &[0; 36]),
        v2(0x21, 0x41, &[0; 36]),
        v2(0x21, 0x11, &[0; 4097]),
    ] {
        assert!(matches!(parse(&bytes), Parsed::Invalid(_)), "{:?}", &bytes[..16]);
    }
}

proptest! {
    #[test]
    fn every_prefix_of_a_header_is_incomplete(cut in 0_usize..1000, which in 0_usize..3) {
        let whole = match which {
            0 => b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            1 => v2(0x21, 0x11, &[1; 40]),
            _ => v2(0x20, 0x00, &[]),
        };
        prop_assert_eq!(parse(&whole[..cut % whole.len()]), Parsed::Incomplete);
    }

    #[test]
    fn a_header_never_reaches_beyond_the_bytes(start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE[..]]), tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [start, &tail].concat();
        match parse(&bytes) {
            Parsed::Header { len, .. } => prop_assert!(len <= bytes.len()),
            Parsed::Incomplete => prop_assert!(bytes.len() < FIXED_V2 + MAX_V2),
            Parsed::Invalid(_) => {}
        }
    }
}
