//! Writing to people and to pipes: colour, width, aligned tables, JSON.
//!
//! Text from outside (names, numbers) is stripped of what nobody sees before it is shown: a
//! caller's name must not move the cursor, nor turn the line around.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;

use crate::model::text::visible;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Style {
    Alarm,
    Bad,
    Bold,
    Dim,
    Good,
    Name,
    #[default]
    Plain,
    Warn,
}

impl Style {
    /// The parameter of the SGR sequence (ECMA-48 §8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Alarm => "1;31",
            Self::Bad => "31",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Name => "36",
            Self::Plain => "0",
            Self::Warn => "33",
        }
    }
}

/// What standard output can show.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    pub colour: bool,
    /// Columns, 80 to 200.
    pub width: usize,
}

impl Terminal {
    /// `COLUMNS`, or the terminal's own width, or 80.
    #[must_use]
    pub fn of_stdout() -> Self {
        let interactive = io::stdout().is_terminal();
        let asked = env::var("COLUMNS").ok().and_then(|text| text.parse::<usize>().ok());
        let real = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: interactive && !no_colour,
            width: asked.or_else(real).unwrap_or(80).clamp(80, 200),
        }
    }

    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && style != Style::Plain && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// It is closed.
pub fn say(text: &str) -> anyhow::Result<()> {
    write(text.as_bytes())
}

/// Writes bytes to standard output.
///
/// # Errors
/// It is closed.
pub fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("standard output")
}

/// Writes one JSON document, indented.
///
/// # Errors
/// Standard output is closed.
pub fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Without what nobody sees.
#[must_use]
pub fn plain(text: &str) -> String {
    visible(text)
}

/// At most `width` characters; what is cut is marked.
#[must_use]
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

/// Parts in as few lines as have room for them; only a part that is wider than a line stands out.
#[must_use]
pub fn wrap(parts: &[String], between: &str, width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (at, part) in parts.iter().enumerate() {
        let end = if at + 1 < parts.len() { between.trim_end() } else { "" };
        let long = part.chars().count() + end.chars().count();
        let gap = between.chars().count() - between.trim_end().chars().count();
        if used > 0 && used + gap + long > width {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push_str(&" ".repeat(gap));
            used += gap;
        }
        text.push_str(part);
        text.push_str(end);
        used += long;
    }
    text + "\n"
}

/// A table with aligned columns; the last one may be as long as it likes.
#[must_use]
pub fn table(terminal: Terminal, heads: &[&str], rows: &[Vec<(Style, String)>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|(_, text)| text.chars().count()).max().unwrap_or(0);
        widest.max(heads.get(column).map_or(0, |head| head.chars().count()))
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<(Style, &str)>| {
        let mut text = String::new();
        for (at, (style, cell)) in cells.iter().enumerate() {
            text.push_str(&terminal.paint(*style, cell));
            if at + 1 < cells.len() {
                let pad = widths.get(at).copied().unwrap_or(0);
                text.push_str(&" ".repeat(pad.saturating_sub(cell.chars().count()) + 2));
            }
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut text = line(heads.iter().map(|head| (Style::Dim, *head)).collect());
    for row in rows {
        text.push_str(&line(row.iter().map(|(style, cell)| (*style, cell.as_str())).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Terminal = Terminal { colour: false, width: 80 };

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [
            vec![(Style::Plain, "a".to_owned()), (Style::Plain, "1".to_owned())],
            vec![(Style::Plain, "ébcd".to_owned()), (Style::Plain, String::new())],
        ];
        assert_eq!(table(PIPE, &["X", "N"], &rows), "X     N\na     1\nébcd\n");
    }

    #[test]
    fn parts_are_put_into_lines_and_never_cut() {
        let parts = ["full 1", "busy 20", "no answer 300"].map(str::to_owned);
        assert_eq!(wrap(&parts, ", ", 80), "full 1, busy 20, no answer 300\n");
        assert_eq!(wrap(&parts, ", ", 16), "full 1, busy 20,\nno answer 300\n");
        assert_eq!(wrap(&parts, ", ", 15), "full 1,\nbusy 20,\nno answer 300\n");
        assert_eq!(wrap(&parts[..1], ", ", 2), "full 1\n");
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        assert_eq!(PIPE.paint(Style::Alarm, "x"), "x");
        let colour = Terminal { colour: true, ..PIPE };
        assert_eq!(colour.paint(Style::Alarm, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(colour.paint(Style::Plain, "x"), "x");
    }

    #[test]
    fn a_name_from_outside_can_not_move_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\r\n"), "a[2Jb");
        assert_eq!(plain("a\u{202e}b\u{2028}\u{feff}"), "ab");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("abcd", 4), "abcd");
    }
}
