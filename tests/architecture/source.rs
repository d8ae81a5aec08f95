//! Source files as the rules see them: without comments and literals, and with the parts that only tests have known.

use std::ops::Range;

/// A file below `src/`.
pub struct Source {
    /// Below `src/`, with `/`.
    pub path: String,
    /// As written.
    pub text: String,
    /// The file is compiled for tests only.
    pub is_test: bool,
    /// `text` with comments and literals blanked; as long as `text`.
    pub bare: String,
    /// `bare` with the parts for tests blanked; as long as `text`.
    pub code: String,
    /// The parts for tests.
    tests: Vec<Range<usize>>,
}

/// A path from the root of the crate or from a module above.
pub struct Reference {
    pub at: usize,
    /// The folder that the path leads to, when it leads to one.
    pub folder: Option<String>,
    /// As written, with groups taken apart.
    pub path: String,
    pub in_test: bool,
}

/// Reads files given as path and text.
pub fn read(files: &[(String, String)]) -> Vec<Source> {
    let mut sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    let for_tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs");
        if for_tests
            .iter()
            .any(|module| stem == module || stem.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('/')))
        {
            source.is_test = true;
            source.tests = std::iter::once(0..source.text.len()).collect();
            source.code = blank(&source.bare, &source.tests);
        }
    }
    sources
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let bare = bare(text);
        let tests = test_parts(&bare);
        let code = blank(&bare, &tests);
        Self { path: path.to_owned(), text: text.to_owned(), is_test: false, bare, code, tests }
    }

    /// Returns the folder that the file stands in.
    pub fn folder(&self) -> Option<&str> {
        self.path.split_once('/').map(|(folder, _)| folder)
    }

    /// Returns the number of the line at this byte.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text[..at].matches('\n').count()
    }

    /// Counts lines, without those of tests.
    pub fn lines_of_code(&self) -> usize {
        let in_tests: usize = self.tests.iter().map(|part| self.text[part.clone()].lines().count()).sum();
        self.text.lines().count() - in_tests
    }

    /// Tells whether a line of the file's docs begins or ends with the word "Pure".
    pub fn says_pure(&self) -> bool {
        let docs = self.text.lines().map_while(|line| line.strip_prefix("//!"));
        docs.map(str::trim)
            .any(|line| ["Pure.", "Pure:", "Pure,"].iter().any(|word| line.starts_with(word)) || line.ends_with(" Pure."))
    }

    /// Finds a word in the code that is not for tests; a letter before it makes it another word.
    pub fn find<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let starts_word = word.starts_with(is_ident);
        let begins = move |at: &usize| !(starts_word && self.code[..*at].ends_with(is_ident));
        self.code.match_indices(word).map(|(at, _)| at).filter(begins).map(move |at| (at, word))
    }

    /// Returns the items of the file, without attributes, each up to its semicolon or closing brace.
    pub fn items(&self) -> Vec<(usize, &str)> {
        let mut items = Vec::new();
        let mut at = 0;
        loop {
            at = skip_attributes(&self.bare, at);
            if at == self.bare.len() {
                return items;
            }
            let end = item_end(&self.bare, at);
            items.push((at, &self.bare[at..end]));
            at = end;
        }
    }

    /// Returns all paths that begin with `crate` or `super`.
    pub fn references(&self) -> Vec<Reference> {
        let module = module_of(&self.path);
        let inline = inline_modules(&self.bare);
        let mut references = Vec::new();
        for (at, first) in ["crate", "super"].iter().flat_map(|word| self.bare.match_indices(word)) {
            let before = self.bare[..at].trim_end();
            let is_start = !self.bare[..at].ends_with(is_ident) && (!before.ends_with("::") || before.ends_with("self::"));
            if !is_start || self.bare[at + first.len()..].starts_with(is_ident) {
                continue;
            }
            let depth = module.len() + inline.iter().filter(|part| part.contains(&at)).count();
            let in_test = self.tests.iter().any(|part| part.contains(&at));
            let mut paths = Vec::new();
            tree(&self.bare, at, &mut Vec::new(), &mut paths);
            for path in paths.into_iter().filter(|path| path.len() > 1) {
                let folder = lead(&path, depth, &module);
                references.push(Reference { at, folder, path: path.join("::"), in_test });
            }
        }
        references
    }

    /// Returns the modules, as paths without `.rs`, that this file declares for tests only.
    fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.strip_suffix("mod.rs").or(self.path.strip_suffix("lib.rs")) {
            Some(folder) => folder.to_owned(),
            None => format!("{}/", self.path.trim_end_matches(".rs")),
        };
        let parts = self.tests.iter().filter_map(|part| self.bare[part.clone()].strip_suffix(';')?.rsplit_once("mod "));
        parts.map(|(_, name)| format!("{folder}{}", name.trim())).collect()
    }
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the module that a file is.
fn module_of(path: &str) -> Vec<&str> {
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').collect() }
}

/// Returns the folder that a path leads to from a module at this depth; `None` when it stays in the module's own.
fn lead(path: &[String], depth: usize, module: &[&str]) -> Option<String> {
    let ups = path.iter().take_while(|segment| *segment == "super").count();
    let at_root = path[0] == "crate" || ups >= depth;
    if !at_root {
        return module.first().map(ToString::to_string);
    }
    path.get(ups.max(1)).filter(|name| *name != "*" && *name != "self").cloned()
}

/// Reads a path with its groups; each leaf becomes a path of its own.
fn tree(text: &str, start: usize, prefix: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> usize {
    let skip = |at: usize| text.len() - text[at..].trim_start().len();
    let base = prefix.len();
    let mut at = skip(start);
    loop {
        let rest = &text[at..];
        if rest.starts_with('{') {
            at = skip(at + 1);
            while !text[at..].is_empty() && !text[at..].starts_with('}') {
                let end = tree(text, at, prefix, out);
                // Behind the leaf: ` as x`, then a comma or the end of the group.
                let gap = text[end..].find([',', '}']).unwrap_or(text.len() - end);
                at = end + gap;
                at = skip(if text[at..].starts_with(',') { at + 1 } else { at });
            }
            prefix.truncate(base);
            return (at + 1).min(text.len());
        }
        let len = if rest.starts_with('*') { 1 } else { rest.find(|c| !is_ident(c)).unwrap_or(rest.len()) };
        if len == 0 {
            break;
        }
        prefix.push(rest[..len].to_owned());
        at += len;
        match text[skip(at)..].strip_prefix("::") {
            Some(_) => at = skip(skip(at) + 2),
            None => break,
        }
    }
    out.push(prefix.clone());
    prefix.truncate(base);
    at
}

/// Returns the bodies of `mod x { .. }`.
fn inline_modules(bare: &str) -> Vec<Range<usize>> {
    let is_module = |at: &usize| !bare[..*at].ends_with(is_ident);
    let starts = bare.match_indices("mod ").map(|(at, _)| at).filter(is_module);
    let bodies = starts.filter_map(|at| {
        let name = bare[at + 4..].find(|c: char| !is_ident(c) && c != ' ')?;
        bare[at + 4 + name..].starts_with('{').then(|| at..item_end(bare, at))
    });
    bodies.collect()
}

/// Returns what `#[cfg(test)]` stands before, with the attribute.
fn test_parts(bare: &str) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (at, _) in bare.match_indices("#[cfg(test)]") {
        if parts.last().is_none_or(|last| last.end <= at) {
            parts.push(at..item_end(bare, skip_attributes(bare, at)));
        }
    }
    parts
}

/// Returns where the next item begins.
fn skip_attributes(bare: &str, mut at: usize) -> usize {
    loop {
        at = bare.len() - bare[at..].trim_start().len();
        let rest = &bare[at..];
        if !rest.starts_with("#[") && !rest.starts_with("#![") {
            return at;
        }
        let mut depth = 0;
        let closing = rest.find(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            c == ']' && depth == 0
        });
        at = closing.map_or(bare.len(), |closing| at + closing + 1);
    }
}

/// Returns where the item ends: behind its semicolon, or behind its closing brace when no semicolon follows.
fn item_end(bare: &str, start: usize) -> usize {
    let mut depth = 0;
    let is_use = bare[start..].trim_start_matches("pub").trim_start().starts_with("use ") || bare[start..].starts_with("pub(");
    for (offset, c) in bare[start..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        let ends = depth < 0 || depth == 0 && (c == ';' || c == '}' && !is_use || c == ',');
        if ends {
            return start + offset + usize::from(depth == 0);
        }
    }
    bare.len()
}

fn blank(text: &str, parts: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in parts.iter().flat_map(|part| part.clone()) {
        if bytes[byte] != b'\n' {
            bytes[byte] = b' ';
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Blanks comments, texts and characters.
fn bare(text: &str) -> String {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = literal_end(text, at);
        if end > at {
            parts.push(at..end);
            at = end;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    blank(text, &parts)
}

/// Returns the end of the comment or literal that begins here; `at` when none does.
fn literal_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let in_word = text[..at].ends_with(is_ident);
    if rest.starts_with("//") {
        return at + rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return at + block_comment(rest);
    }
    if rest.starts_with('"') {
        return at + quoted(rest, '"');
    }
    let raw = ["r", "br"].iter().find_map(|start| rest.strip_prefix(start)).filter(|_| !in_word);
    let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(raw) = raw.filter(|raw| raw[hashes..].starts_with('"')) {
        let closing = format!("\"{}", "#".repeat(hashes));
        let begin = rest.len() - raw.len() + hashes + 1;
        return at + rest[begin..].find(&closing).map_or(rest.len(), |end| begin + end + closing.len());
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        let first = inner.chars().next().map_or(0, char::len_utf8);
        // Otherwise a lifetime.
        if inner.starts_with('\\') || inner[first..].starts_with('\'') {
            return at + quoted(rest, '\'');
        }
    }
    at
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        let step = match here {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return offset + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}
