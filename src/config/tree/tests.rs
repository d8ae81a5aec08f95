use super::*;

fn show(node: &Node, tree: &Tree, out: &mut Vec<String>) {
    let (line, column) = tree.position(node.id);
    let at = format!("{line}:{column} {}", tree.path(node.id));
    match &node.kind {
        Kind::Null => out.push(format!("{at} null")),
        Kind::Scalar(scalar) => out.push(format!("{at} {}{:?}", if scalar.quoted { "q" } else { "" }, scalar.text)),
        Kind::List(items) => {
            out.push(format!("{at} list"));
            items.iter().for_each(|item| show(item, tree, out));
        }
        Kind::Map(entries) => {
            out.push(format!("{at} map"));
            for entry in entries {
                let (line, column) = tree.position(entry.key_id);
                out.push(format!("{line}:{column} key {}", entry.key));
                show(&entry.value, tree, out);
            }
        }
    }
}

fn shown(text: &str) -> Vec<String> {
    let tree = Tree::parse(text).unwrap();
    let mut out = Vec::new();
    show(&tree.root, &tree, &mut out);
    out
}

#[test]
fn every_node_and_key_knows_its_place() {
    let lines = shown("a: 1.10\nb:\n  - \"x\"\n  - { c: true, d: ~ }\n");
    assert_eq!(
        lines,
        [
            "1:1  map",
            "1:1 key a",
            "1:4 a \"1.10\"",
            "2:1 key b",
            "3:3 b list",
            "3:5 b[0] q\"x\"",
            "4:5 b[1] map",
            "4:7 key c",
            "4:10 b[1].c \"true\"",
            "4:16 key d",
            "4:19 b[1].d null",
        ]
    );
}

#[test]
fn plain_scalars_keep_their_spelling() {
    for text in ["0x10", "1_000", "1e3", "007", "True", "no", "+5", ".5", "12:30", "30s", "20%", "é"] {
        assert_eq!(shown(&format!("k: {text} # why\n"))[2], format!("1:4 k {text:?}"), "{text}");
    }
}

#[test]
fn quotes_blocks_anchors_and_tags_are_seen_through() {
    assert_eq!(shown("k: '5'")[2], "1:4 k q\"5\"");
    assert_eq!(shown("k: |\n  a\n")[2].split_once(' ').unwrap().1, "k \"a\\n\"");
    assert_eq!(shown("k: &x 5\nl: *x")[4].split_once(' ').unwrap().1, "l \"5\"");
    assert_eq!(shown("k: !!str 5")[2].split_once(' ').unwrap().1, "k \"5\"");
}

#[test]
fn merged_maps_are_spread() {
    let lines = shown("a: &a { x: 1 }\nb: { <<: *a, y: 2 }\n");
    assert!(lines.iter().any(|line| line.ends_with("b.x \"1\"")), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("b.y \"2\"")), "{lines:?}");
}

#[test]
fn a_repeated_key_is_an_error_with_its_place() {
    let error = Tree::parse("a: 1\nb: 2\na: 3\n").unwrap_err();
    assert_eq!((error.line, error.column), (3, 1), "{error:?}");
    assert!(error.message.contains("duplicate"), "{error:?}");
}

#[test]
fn broken_syntax_is_an_error_with_its_place() {
    let error = Tree::parse("a: [1, 2\nb: 3\n").unwrap_err();
    assert!(error.line >= 1, "{error:?}");
    assert!(!error.message.contains(" at line "), "{error:?}");
}

#[test]
fn deep_nesting_and_alias_bombs_are_refused() {
    assert!(Tree::parse(&"[".repeat(100_000)).is_err());
    assert!(Tree::parse(&format!("{}x{}", "[".repeat(40), "]".repeat(40))).is_err());
    assert!(Tree::parse(&format!("{}x", "- ".repeat(5_000))).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{below}"); 10].join(", ")));
    }
    assert!(Tree::parse(&bomb).is_err());
    assert!(Tree::parse("a: &a [*a]").is_err());
}
