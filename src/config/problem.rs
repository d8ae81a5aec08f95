//! What is wrong with a file, where, and what was probably meant.
//!
//! Everything that is wrong is shown at once: a person should not have to start Tidegate five times to find five mistakes.

use std::fmt;

use serde::Serialize;

/// How many problems are kept: who made more has the wrong file.
const MAX_PROBLEMS: usize = 100;

/// One thing that is wrong (or, as a warning, odd) with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// The column, from 1; 0 when it is about the file as a whole.
    pub column: u32,
    /// The path of the key, such as `pools.coders.endpoints[0].address`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// What to write instead, when that can be guessed.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Why a file cannot be used: every problem that was found, at most 100, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Errors {
    problems: Vec<Problem>,
}

impl Errors {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        arrange(&mut problems);
        Self { problems }
    }

    /// Makes the error of a file that could not be read at all.
    pub(super) fn whole_file(file: &str, message: String) -> Self {
        let problem = Problem { file: file.to_owned(), line: 0, column: 0, path: String::new(), message, suggestion: None };
        Self { problems: vec![problem] }
    }

    /// Returns the problems in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Sorts by position, drops repetitions, keeps as many as a person will read.
pub(super) fn arrange(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| (a.line, a.column, &a.path, &a.message).cmp(&(b.line, b.column, &b.path, &b.message)));
    problems.dedup();
    problems.truncate(MAX_PROBLEMS);
}

/// Tells whether more problems would not be kept.
pub(super) const fn is_enough(count: usize) -> bool {
    count >= MAX_PROBLEMS
}

/// Finds the known word that `word` was probably meant to be.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Longer texts are not slips of the finger, and the comparison is quadratic.
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_ascii_lowercase(), &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, message: &str) -> Problem {
        Problem {
            file: "t.yaml".to_owned(),
            line,
            column: 5,
            path: "pools.a".to_owned(),
            message: message.to_owned(),
            suggestion: None,
        }
    }

    #[test]
    fn problems_are_shown_in_the_order_of_the_file_without_repetition() {
        let errors = Errors::new(vec![problem(9, "late"), problem(2, "early"), problem(9, "late")]);
        assert_eq!(errors.to_string(), "t.yaml:2:5: pools.a: early\nt.yaml:9:5: pools.a: late");
    }

    #[test]
    fn at_most_a_hundred_problems_are_kept() {
        let errors = Errors::new((1..500).map(|line| problem(line, "x")).collect());
        assert_eq!(errors.problems().len(), MAX_PROBLEMS);
    }

    #[test]
    fn slips_of_the_finger_are_recognised_and_other_words_are_not() {
        let known = ["round_robin", "least_connections", "weight"];
        assert_eq!(did_you_mean("round_robbin", known).as_deref(), Some("round_robin"));
        assert_eq!(did_you_mean("Weigth", known).as_deref(), Some("weight"));
        assert_eq!(did_you_mean("banana", known), None);
    }
}
