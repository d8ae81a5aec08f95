//! Variables of the environment in the values of a file.
//!
//! They are put in after the file was parsed, so a variable can hold any text and never changes the shape of the file. Keys are
//! left alone. `${NAME}` must be set, `${NAME:-default}` falls back when it is unset or empty, `$$` is a dollar; any other `$`
//! stands for itself.

use super::tree::{Kind, Node, NodeId, Scalar};

/// How a variable is looked up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why the variables of a value could not be put in.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) id: NodeId,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// Puts variables into every value of `node`; returns what could not be put in, those values stay as they are.
pub(super) fn resolve(node: &mut Node, lookup: Lookup<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(node, lookup, &mut faults);
    faults
}

// Recursion is as deep as the tree, which the parser bounds.
fn walk(node: &mut Node, lookup: Lookup<'_>, faults: &mut Vec<Fault>) {
    match &mut node.kind {
        Kind::Null => {}
        Kind::Scalar(scalar) => {
            if let Err((message, suggestion)) = resolve_scalar(scalar, lookup) {
                faults.push(Fault { id: node.id, message, suggestion });
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| walk(item, lookup, faults)),
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| walk(&mut entry.value, lookup, faults)),
    }
}

fn resolve_scalar(scalar: &mut Scalar, lookup: Lookup<'_>) -> Result<(), (String, Option<String>)> {
    if !scalar.text.contains('$') {
        return Ok(());
    }
    let mut text = String::with_capacity(scalar.text.len());
    let mut has_variable = false;
    let mut rest = scalar.text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(inside) = after.strip_prefix('{') {
            let (expression, after) = inside
                .split_once('}')
                .ok_or_else(|| ("`${` is never closed".to_owned(), Some("write `$$` for a dollar".to_owned())))?;
            text.push_str(&value_of(expression, lookup)?);
            has_variable = true;
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    let source = std::mem::replace(&mut scalar.text, text);
    scalar.source = has_variable.then_some(source);
    Ok(())
}

fn value_of(expression: &str, lookup: Lookup<'_>) -> Result<String, (String, Option<String>)> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !is_name {
        let suggestion = "write ${NAME} or ${NAME:-default}, and `$$` for a dollar".to_owned();
        return Err((format!("{name:?} is not the name of a variable"), Some(suggestion)));
    }
    match (lookup(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err((format!("the environment variable {name} is not set"), Some(format!("set it, or write ${{{name}:-default}}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("a: [b\n- c # \"${HOST}".to_owned()),
            _ => None,
        }
    }

    fn resolved(value: &str) -> Result<String, Fault> {
        let mut tree = Tree::parse(&format!("k: '{value}'")).unwrap();
        let mut faults = resolve(&mut tree.root, &lookup);
        match faults.pop() {
            Some(fault) => Err(fault),
            None => match &tree.root.kind {
                Kind::Map(entries) => match &entries[0].value.kind {
                    Kind::Scalar(scalar) => Ok(scalar.text.clone()),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn variables_defaults_and_dollars_are_put_in() {
        for (value, expected) in [
            ("plain", "plain"),
            ("https://${HOST}/x", "https://example.com/x"),
            ("${NOPE:-fallback}", "fallback"),
            ("${NOPE:-}", ""),
            ("${EMPTY:-fallback}", "fallback"),
            ("${EMPTY}", ""),
            ("$${HOST}", "${HOST}"),
            ("costs 5$ or $x", "costs 5$ or $x"),
            ("${HOST}${HOST}", "example.comexample.com"),
        ] {
            assert_eq!(resolved(value), Ok(expected.to_owned()), "{value}");
        }
    }

    #[test]
    fn a_variable_is_text_whatever_it_holds() {
        assert_eq!(resolved("${EVIL}").unwrap(), "a: [b\n- c # \"${HOST}");
    }

    #[test]
    fn an_unset_variable_without_default_is_a_fault() {
        let fault = resolved("${NOPE}").unwrap_err();
        assert_eq!(fault.message, "the environment variable NOPE is not set");
        assert!(resolved("${").is_err());
        assert!(resolved("${}").is_err());
        assert!(resolved("${A B}").is_err());
    }

    #[test]
    fn keys_are_left_alone() {
        let mut tree = Tree::parse("${HOST}: 1").unwrap();
        assert_eq!(resolve(&mut tree.root, &lookup), []);
        assert_eq!(tree.path(1), "${HOST}");
    }
}
