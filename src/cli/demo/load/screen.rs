//! Where the live view goes: redrawn in place on a terminal, a line each second elsewhere.

use std::env;
use std::io::{self, IsTerminal, Write};

use super::record::Record;
use super::view::{self, Ink, Place};

/// Looks to a line where the view is written in lines: one a second.
const LOOKS_A_LINE: u32 = 4;

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    place: Place,
    manner: Manner,
    /// Looks that were shown, or passed over.
    looks: u32,
    /// When the latest decision was taken that has been told.
    told_unix_ms: Option<i64>,
}

/// How the view is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Redrawn(Ink),
    Lines,
}

/// Tells whether the view is redrawn in place, so that nothing else should be written there.
pub(in super::super) fn is_live() -> bool {
    manner() != Manner::Lines
}

fn manner() -> Manner {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !io::stdout().is_terminal() || env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return Manner::Lines;
    }
    Manner::Redrawn(if is_set("NO_COLOR") { Ink::Plain } else { Ink::Coloured })
}

impl Screen {
    /// Looks what standard output is.
    pub(super) fn new(place: Place) -> Self {
        Self { place, manner: manner(), looks: 0, told_unix_ms: None }
    }

    /// Shows how it stands. A reader that has left is no reason to end.
    pub(super) fn show(&mut self, record: &Record) {
        let Some(picture) = record.picture() else { return };
        let is_first = self.looks == 0;
        let is_due = self.looks.is_multiple_of(LOOKS_A_LINE);
        self.looks = self.looks.wrapping_add(1);
        let text = match self.manner {
            Manner::Redrawn(ink) => in_place(&view::screen(&picture, &self.place, ink), is_first),
            Manner::Lines if is_due => {
                let line = view::line(&picture, self.told_unix_ms);
                let latest = picture.changes.first().map(|(_, change)| change.at_unix_ms);
                self.told_unix_ms = latest.max(self.told_unix_ms);
                format!("{line}\n")
            }
            Manner::Lines => return,
        };
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// Puts `text` where it was before: long lines are not wrapped, and what is left of the last text is wiped out.
fn in_place(text: &str, is_first: bool) -> String {
    let clear = if is_first { "\x1b[2J" } else { "" };
    format!("\x1b[?7l{clear}\x1b[H{}\x1b[J\x1b[?7h", text.replace('\n', "\x1b[K\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_drawn_over_the_one_before() {
        assert_eq!(in_place("a\nb\n", true), "\x1b[?7l\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h");
        assert_eq!(in_place("a\n", false), "\x1b[?7l\x1b[Ha\x1b[K\n\x1b[J\x1b[?7h");
    }
}
