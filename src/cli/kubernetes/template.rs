//! Filling in documents. Pure.

use std::fmt::Write;

/// Puts `values` where a document names them in `{{ }}`.
///
/// A line that is nothing but a name becomes as many lines as the value has, each as far to the right; none for an empty value. A name that
/// has no value is left, so that a test sees it.
pub(super) fn fill(document: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(document.len());
    for line in document.lines() {
        let words = line.trim_start();
        let whole = words.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).and_then(|name| value(values, name));
        match whole {
            Some(value) => indented(&mut filled, value, &line[..line.len() - words.len()]),
            None => {
                filled.push_str(&inline(line, values));
                filled.push('\n');
            }
        }
    }
    filled
}

fn value<'a>(values: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    values.iter().find(|(known, _)| *known == name.trim()).map(|(_, value)| *value)
}

/// Writes each line of `text` behind `indent`; empty lines stay empty.
fn indented(out: &mut String, text: &str, indent: &str) {
    for line in text.lines() {
        let indent = if line.is_empty() { "" } else { indent };
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{indent}{line}");
    }
}

/// Goes through the line once, so that what is put in is not looked at again.
fn inline(line: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        match after.split_once("}}").and_then(|(name, after)| Some((value(values, name)?, after))) {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push_str("{{");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_lines_keep_their_indent() {
        let document = "a: {{name}}-x-{{name}}\n  {{list}}\n  {{none}}\nb: {{ unknown }}\n";
        let values = [("name", "n"), ("list", "- 1\n\n- {{name}}\n"), ("none", "")];
        assert_eq!(fill(document, &values), "a: n-x-n\n  - 1\n\n  - {{name}}\nb: {{ unknown }}\n");
    }

    #[test]
    fn braces_that_are_not_closed_stay() {
        assert_eq!(fill("a {{name", &[("name", "n")]), "a {{name\n");
        assert_eq!(fill("{{ {{name}}", &[("name", "n")]), "{{ n\n");
    }
}
