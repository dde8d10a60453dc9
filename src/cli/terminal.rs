//! Writing to people and to pipes: colour, width, aligned tables, JSON.
//!
//! Text from outside (names, numbers) is stripped of what nobody sees before it is shown: a
//! caller's name must not move the cursor, nor turn the line around.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

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
    /// Columns, 80 to 200; all there are with `--wide`.
    pub width: usize,
}

/// `--wide` was given.
static IS_WIDE: AtomicBool = AtomicBool::new(false);

/// Tables are as wide as they like from here on, and ids are whole.
pub fn be_wide() {
    IS_WIDE.store(true, Ordering::Relaxed);
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
            width: if IS_WIDE.load(Ordering::Relaxed) {
                usize::MAX
            } else {
                asked.or_else(real).unwrap_or(80).clamp(80, 200)
            },
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

/// Columns that a terminal needs for it: two for a wide letter (UAX #11), none for a mark above one.
#[must_use]
pub fn width_of(text: &str) -> usize {
    text.width()
}

/// At most `width` columns; what is cut is marked.
#[must_use]
pub fn shorten(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().map(|(at, letter)| &text[..at + letter.len_utf8()]);
    let kept = ends.take_while(|kept| width_of(kept) < width).last().unwrap_or_default();
    kept.trim_end().to_owned() + "…"
}

/// Parts in as few lines as have room for them; only a part that is wider than a line stands out.
#[must_use]
pub fn wrap(parts: &[String], between: &str, width: usize) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (at, part) in parts.iter().enumerate() {
        let end = if at + 1 < parts.len() { between.trim_end() } else { "" };
        let long = width_of(part) + width_of(end);
        let gap = width_of(between) - width_of(between.trim_end());
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

/// A column of a table, by what may be done to it where a line has no room.
#[derive(Clone, Copy, Debug)]
pub enum Column<'a> {
    /// In the last column: of ids, as much as tells them apart.
    Id(&'a str),
    /// What somebody chose: cut, and marked.
    Name(&'a str),
    /// Never cut: numbers, times, states.
    Whole(&'a str),
    /// Goes on in the next line, below itself.
    Words(&'a str),
}

/// What is left of a name at least, and what words have at least.
const LEAST_NAME: usize = 8;
const LEAST_WORDS: usize = 20;
/// Of an id: the millisecond it was made in.
const LEAST_ID: usize = 10;
const GAP: usize = 2;

impl Column<'_> {
    fn head(&self) -> &str {
        match self {
            Self::Id(head) | Self::Name(head) | Self::Whole(head) | Self::Words(head) => head,
        }
    }

    /// What of a width it insists on.
    fn least(&self, width: usize) -> usize {
        let head = width_of(self.head());
        match self {
            Self::Name(_) => width.min(LEAST_NAME.max(head)),
            Self::Words(_) => width.min(LEAST_WORDS.max(head)),
            Self::Id(_) | Self::Whole(_) => width,
        }
    }
}

/// A table with aligned columns, within the width of the terminal where that is possible. A column
/// without a single cell is left out.
#[must_use]
pub fn table(terminal: Terminal, columns: &[Column<'_>], rows: &[Vec<(Style, String)>]) -> String {
    let is_used =
        |at: &usize| rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.1.is_empty()));
    let used: Vec<usize> = (0..columns.len()).filter(is_used).collect();
    let columns: Vec<Column<'_>> = used.iter().map(|at| columns[*at]).collect();
    let mut cells: Vec<Vec<(Style, String)>> = rows
        .iter()
        .map(|row| used.iter().map(|at| row.get(*at).cloned().unwrap_or_default()).collect())
        .collect();
    for (at, column) in columns.iter().enumerate() {
        if matches!(column, Column::Id(_)) {
            let short = short_ids(terminal, cells.iter().map(|row| row[at].1.as_str()));
            for (row, id) in cells.iter_mut().zip(short) {
                row[at].1 = id;
            }
        }
    }
    let widest = |(at, column): (usize, &Column<'_>)| {
        let widest = cells.iter().map(|row| width_of(&row[at].1)).max().unwrap_or(0);
        widest.max(width_of(column.head()))
    };
    let mut widths: Vec<usize> = columns.iter().enumerate().map(widest).collect();
    let gaps = GAP * widths.len().saturating_sub(1);
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + gaps;
    while total(&widths) > terminal.width {
        let gives = |at: &usize| widths[*at] > columns[*at].least(widths[*at]);
        let Some(widest) = (0..widths.len()).filter(gives).max_by_key(|at| widths[*at]) else {
            break;
        };
        widths[widest] -= 1;
    }
    let heads = columns.iter().map(|column| (Style::Dim, column.head().to_owned())).collect();
    let lines = std::iter::once(&heads).chain(&cells);
    lines.map(|row| line(terminal, &columns, &widths, row)).collect()
}

/// One row, in as many lines as the cell with the most words has.
fn line(
    terminal: Terminal,
    columns: &[Column<'_>],
    widths: &[usize],
    row: &[(Style, String)],
) -> String {
    let lines = |(at, (_, cell)): (usize, &(Style, String))| match columns[at] {
        Column::Words(_) => {
            let words: Vec<String> = cell.split(' ').map(str::to_owned).collect();
            wrap(&words, " ", widths[at]).lines().map(str::to_owned).collect()
        }
        Column::Name(_) => vec![shorten(cell, widths[at])],
        Column::Id(_) | Column::Whole(_) => vec![cell.clone()],
    };
    let cells: Vec<Vec<String>> = row.iter().enumerate().map(lines).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = String::new();
    for nth in 0..height {
        let mut line = String::new();
        for ((lines, (style, _)), width) in cells.iter().zip(row).zip(widths) {
            let part = lines.get(nth).map_or("", String::as_str);
            line.push_str(&terminal.paint(*style, part));
            line.push_str(&" ".repeat(width.saturating_sub(width_of(part)) + GAP));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Of each id what tells it from the others, which commands take for the whole; with `--wide` the whole.
#[must_use]
pub fn short_ids<'a>(terminal: Terminal, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    if terminal.width == usize::MAX {
        return ids.map(str::to_owned).collect();
    }
    let digits = |id: &'a str| id.split_once('_').map_or(id, |(_, digits)| digits);
    let ids: Vec<&str> = ids.map(digits).collect();
    let all: BTreeSet<&str> = ids.iter().copied().collect();
    let cut = |id: &'a str, length: usize| id.get(..length).unwrap_or(id);
    let is_enough = |length: &usize| {
        all.iter().map(|id| cut(id, *length)).collect::<BTreeSet<_>>().len() == all.len()
    };
    let longest = all.iter().map(|id| id.len()).max().unwrap_or(0);
    let length = (LEAST_ID..longest).find(is_enough).unwrap_or(longest);
    ids.into_iter().map(|id| cut(id, length).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Terminal = Terminal { colour: false, width: 80 };

    fn cells(row: &[&str]) -> Vec<(Style, String)> {
        row.iter().map(|cell| (Style::Plain, (*cell).to_owned())).collect()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [cells(&["a", "1", ""]), cells(&["ébcd", "", ""])];
        let columns = [Column::Name("X"), Column::Whole("N"), Column::Whole("EMPTY")];
        assert_eq!(table(PIPE, &columns, &rows), "X     N\na     1\nébcd\n");
    }

    #[test]
    fn a_table_fits_and_only_names_are_cut() {
        let long = "a".repeat(60);
        let why = "full 10/10, 3/5 answers per day, and some more words";
        let rows = [cells(&[&long, "+12025550100", why]), cells(&["b", "1", "paused"])];
        let columns = [Column::Name("NAME"), Column::Whole("DID"), Column::Words("WHY")];
        let text = table(PIPE, &columns, &rows);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("aaaa…  +12025550100  full"), "{text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(why.split(' ').all(|word| words.contains(&word)), "{text}");
        let wide = table(Terminal { width: usize::MAX, ..PIPE }, &columns, &rows);
        assert!(wide.contains(&long) && wide.contains(why), "{wide}");
    }

    #[test]
    fn ids_are_as_short_as_tells_them_apart() {
        let rows = [cells(&["call_01m7y97xc1edhbae1qxb"]), cells(&["call_01m7y97xc1fdhbae1qxb"])];
        assert_eq!(table(PIPE, &[Column::Id("ID")], &rows), "ID\n01m7y97xc1e\n01m7y97xc1f\n");
        assert_eq!(table(PIPE, &[Column::Id("ID")], &rows[..1]), "ID\n01m7y97xc1\n");
        let wide = Terminal { width: usize::MAX, ..PIPE };
        let whole = "ID\ncall_01m7y97xc1edhbae1qxb\n";
        assert_eq!(table(wide, &[Column::Id("ID")], &rows[..1]), whole);
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
    fn wide_letters_count_twice_and_marks_not_at_all() {
        assert_eq!(shorten("東京本社", 8), "東京本社");
        assert_eq!(shorten("東京本社", 7), "東京本…");
        assert_eq!(shorten("東京本社", 6), "東京…");
        assert_eq!(shorten("e\u{301}tat", 4), "e\u{301}tat");
        let parts = ["東京", "大阪"].map(str::to_owned);
        assert_eq!(wrap(&parts, ", ", 10), "東京, 大阪\n");
        assert_eq!(wrap(&parts, ", ", 9), "東京,\n大阪\n");
        let rows = [cells(&[&"東".repeat(60), "1", "満"]), cells(&["e\u{301}", "2", "b"])];
        let columns = [Column::Name("NAME"), Column::Whole("N"), Column::Words("WHY")];
        let text = table(PIPE, &columns, &rows);
        assert!(text.lines().all(|line| width_of(line) <= 80), "{text}");
        let before = |part: &str| text.lines().find_map(|line| Some(line.split_once(part)?.0));
        assert_eq!(before("  1  満").map(width_of), before("  2  b").map(width_of), "{text}");
    }

    #[test]
    fn two_columns_of_words_go_on_side_by_side() {
        let (left, right) = ("one two three four five six", "six seven eight nine ten");
        let long = "a".repeat(30);
        let columns = [Column::Whole("NAME"), Column::Words("LEFT"), Column::Words("RIGHT")];
        let text = table(PIPE, &columns, &[cells(&[&long, left, right])]);
        let rows: Vec<Vec<&str>> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert_eq!(rows[1], ["six", "ten"], "{text}");
        let column = |nth: usize, word: &str| text.lines().nth(nth).and_then(|l| l.find(word));
        assert_eq!(column(1, "one"), column(2, "six"), "{text}");
        assert_eq!(column(0, "RIGHT"), column(2, "ten"), "{text}");
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
