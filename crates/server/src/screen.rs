//! What a report is shown on: how wide, and whether in colour.

use std::{
    env,
    io::{self, IsTerminal},
};

use terminal_size::{Width, terminal_size};

/// Columns and colours of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// At most 200.
    pub(crate) columns: usize,
    is_coloured: bool,
}

/// What a colour means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Heading,
    New,
    Gone,
    Warning,
}

impl Screen {
    /// `COLUMNS`, or the width of the terminal, or 80. Colours only on a terminal, and not if `NO_COLOR`
    /// is set.
    pub(crate) fn of_stdout() -> Self {
        Self::sized(COLUMNS, COLUMNS_MIN)
    }

    /// The same with another width for what is no terminal, and a least one.
    pub(crate) fn sized(usual: usize, least: usize) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let asked = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let measured = || terminal_size().map(|(Width(columns), _)| usize::from(columns));
        let columns = asked.or_else(|| measured().filter(|_| is_terminal));
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = columns.unwrap_or(usual).clamp(least, COLUMNS_MAX);
        Self { columns, is_coloured: is_terminal && !no_colour }
    }

    #[cfg(test)]
    pub(crate) const fn new(columns: usize, is_coloured: bool) -> Self {
        Self { columns, is_coloured }
    }

    /// The text in a colour, where there are colours.
    pub(crate) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Heading => 1,
            Ink::New => 32,
            Ink::Gone => 31,
            Ink::Warning => 33,
        };
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const COLUMNS: usize = 80;

const COLUMNS_MIN: usize = 60;

const COLUMNS_MAX: usize = 200;

/// Broken between words into lines of at most so many characters; a longer word is broken in itself.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let (mut lines, mut line, mut length) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + letters.len() > room {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        while letters.len() > room {
            let rest = letters.split_off(room);
            lines.push(letters.into_iter().collect());
            letters = rest;
        }
        length += letters.len();
        line.extend(letters);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_at_blanks_and_long_words_broken() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a eleven-long", 6), ["a", "eleven", "-long"]);
        assert_eq!(wrap("", 6), [""]);
    }
}
