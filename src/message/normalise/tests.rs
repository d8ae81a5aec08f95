//! The normal form of paths, and the paths that have none.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;

fn get(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    path(&Method::GET, raw)
}

#[test]
fn paths_are_normalised() {
    for (raw, expected) in [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/c/./../../g", "/a/g"),
        ("//", "/"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("/%61dmin", "/admin"),
        ("/%7Euser", "/~user"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e", "/"),
        ("/%2e", "/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%20b%c3%A9", "/a%20b%C3%A9"),
        ("/.", "/"),
    ] {
        assert_eq!(get(raw), Ok(Cow::Borrowed(expected)), "{raw}");
    }
}

#[test]
fn a_path_in_normal_form_is_borrowed() {
    for raw in [
        "/",
        "/a",
        "/a/",
        "/.well-known/x",
        "/..a",
        "/a..",
        "/.../x",
        "/a%2Fb",
        "/a%5Cb",
        "/%25",
        "/%252e",
        "/a%20b",
        "/a;b=c/..;d",
        "/a.b/c..d",
        "/!$&'()*+,;=:@|{}[]^\"",
    ] {
        assert!(matches!(get(raw), Ok(Cow::Borrowed(same)) if same == raw), "{raw}");
    }
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    for raw in [
        "",
        "a",
        "*",
        "?",
        "/..",
        "/../a",
        "/a/../..",
        "/%2e%2e",
        "//..",
        "/%",
        "/%4",
        "/%4g",
        "/%%20",
        "/%00",
        "/a%00b/..",
        "/a\\b",
        "/a b",
        "/a\tb",
        "/a\r",
        "/a\0",
        "/\u{7f}",
        "/é",
    ] {
        assert_eq!(get(raw).map_err(|refusal| refusal.reason), Err(Reason::InvalidTarget), "{raw:?}");
    }
}

#[test]
fn only_options_has_the_target_asterisk() {
    assert_eq!(path(&Method::OPTIONS, "*"), Ok(Cow::Borrowed("*")));
    assert!(path(&Method::OPTIONS, "*a").is_err());
}

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(raw in "(/|//|[ab.]{1,3}|%2[eEfF5]|%6[0-9a-f]|[;~%])*") {
        if let Ok(once) = get(&raw) {
            prop_assert_eq!(get(&once), Ok(Cow::Borrowed(&*once)));
            prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(!once.contains("//"));
        }
    }

    #[test]
    fn no_text_is_taken_apart_wrongly(raw in ".{0,30}") {
        if let Ok(once) = get(&raw) {
            prop_assert!(once.starts_with('/') && once.is_ascii() && once.len() <= raw.len());
        }
    }
}
