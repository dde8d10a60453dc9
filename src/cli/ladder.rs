//! A call as a ladder: one line per party, time downwards, an arrow for everything that passed
//! between them. Drawn from the timeline alone, in plain Unicode, 80 to 200 columns wide.
//!
//! It shows what divert knows: words of SIP where a SIP code was seen, plain words elsewhere. It is
//! no packet capture.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthChar as _;

use super::terminal::{Style, Terminal, plain, shorten, width_of};
use super::view::{Call, Entry, offset};
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::timeline::{Step, duration};

const CALLER: usize = 0;
const DIVERT: usize = 1;

/// Where the caller's line stands: behind the time and the mark of the first failure.
const LEFT: usize = 17;
const TIME: usize = 12;
/// Room to the right of the last line, for half of its name.
const RIGHT: usize = 8;
/// A picture has an end to its right, however wide the rest is.
const WIDEST: usize = 200;
const MIN_SPAN: usize = 14;
const MAX_SPAN: usize = 24;
/// A column of remarks narrower than this says nothing.
const MIN_REMARK: usize = 30;
/// From here on a silence gets a line of its own.
const GAP_MS: i64 = 5_000;

/// The whole picture, with a line feed at the end.
#[must_use]
pub fn draw(call: &Call, terminal: Terminal) -> String {
    let terminal = Terminal { width: terminal.width.min(WIDEST), ..terminal };
    let mut ladder = Ladder::new(call, terminal.width);
    ladder.heads();
    for entry in &call.timeline {
        ladder.entry(entry);
    }
    ladder.close(call);
    let mut text = head(call, terminal);
    for row in &ladder.rows {
        text.push_str(&row.render(terminal));
    }
    text + &foot(call, terminal)
}

/// How one party's line looks at the moment.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Line {
    Alive,
    Coming,
    None,
    Talking,
}

struct Ladder<'a> {
    call: &'a Call,
    width: usize,
    /// The column of each line.
    at: Vec<usize>,
    lines: Vec<Line>,
    remarks_at: Option<usize>,
    rows: Vec<Row>,
    /// Which line a leg has; with more legs than lines, a line is used again.
    lane: BTreeMap<u16, usize>,
    talking: Option<usize>,
    /// What was told last of destinations passed over: told once, not at each attempt.
    skipped: String,
    last_ms: i64,
    failed: bool,
    caller_rings: bool,
}

impl<'a> Ladder<'a> {
    fn new(call: &'a Call, width: usize) -> Self {
        let room = width - LEFT - RIGHT;
        let spans = (call.legs.len().max(1) + 1).min(room / MIN_SPAN);
        let narrow = LEFT + spans * (MIN_SPAN + 2) + RIGHT;
        let (span, remarks_at) = if width >= narrow + MIN_REMARK {
            let span = ((width - LEFT - RIGHT - MIN_REMARK) / spans).min(MAX_SPAN);
            (span, Some(LEFT + spans * span + RIGHT))
        } else {
            ((room / spans).min(MAX_SPAN), None)
        };
        let mut lines = vec![Line::Coming; spans + 1];
        lines[CALLER] = Line::Alive;
        lines[DIVERT] = Line::Alive;
        let for_legs = spans - 1;
        let lane =
            call.legs.iter().enumerate().map(|(nth, leg)| (leg.no, DIVERT + 1 + nth % for_legs));
        Self {
            call,
            width,
            at: (0..=spans).map(|nth| LEFT + nth * span).collect(),
            lines,
            remarks_at,
            rows: Vec::new(),
            lane: lane.collect(),
            talking: None,
            skipped: String::new(),
            last_ms: 0,
            failed: false,
            caller_rings: false,
        }
    }

    /// Who the lines are, and their numbers below.
    fn heads(&mut self) {
        let mut names = Row::default();
        let mut numbers = Row::default();
        let mut head = |at: usize, room: usize, name: &str, style, number: &str| {
            names.centred(at, &shorten(&plain(name), room), style);
            numbers.centred(at, &shorten(&plain(number), room), Style::Dim);
        };
        let room = self.at[1] - self.at[0] - 1;
        head(self.at[CALLER], room, "Caller", Style::Bold, &self.call.caller.number);
        head(self.at[DIVERT], room, "divert", Style::Bold, &self.call.did);
        for (leg, at) in self.call.legs.iter().zip(&self.at[DIVERT + 1..]) {
            // The last line has less room: its name must not run out of the picture.
            let room = if Some(at) == self.at.last() { room.min(RIGHT * 2 - 1) } else { room };
            let number = leg.endpoint.rsplit('/').next().unwrap_or_default();
            let number = number.split('@').next().unwrap_or_default();
            head(*at, room, &leg.name, Style::Name, number);
        }
        if self.call.legs.is_empty() {
            self.lines[DIVERT + 1..].fill(Line::None);
        }
        self.rows.extend([names, numbers]);
    }

    /// A row with nothing but the lines.
    fn row(&self) -> Row {
        let mut row = Row::default();
        for (at, line) in self.at.iter().zip(&self.lines) {
            match line {
                Line::Alive => row.put(*at, '│', Style::Dim),
                Line::Coming => row.put(*at, '┊', Style::Dim),
                Line::None => {}
                Line::Talking => row.put(*at, '║', Style::Good),
            }
        }
        row
    }

    /// A row with its time; a long silence before it is drawn too.
    fn timed(&mut self, entry: &Entry) -> Row {
        if entry.offset_ms - self.last_ms >= GAP_MS {
            let mut gap = self.row();
            gap.text(TIME - 3, "⋮", Style::Dim);
            self.rows.push(gap);
        }
        self.last_ms = entry.offset_ms;
        let mut row = self.row();
        let (time, style) = if self.rows.len() <= 2 {
            (entry.at.show("%H:%M:%S%.3f"), Style::Plain)
        } else {
            (offset(entry.offset_ms), Style::Dim)
        };
        row.text(TIME.saturating_sub(width_of(&time)), &time, style);
        row
    }

    fn entry(&mut self, entry: &Entry) {
        let mut row = self.timed(entry);
        let Some(step) = entry.step() else {
            let text = format!("{} {}", entry.title, entry.sentence);
            self.say(row, &text, Style::Dim);
            return;
        };
        let sentence = plain(&step.sentence());
        match step {
            Step::Receipt(_) => self.say(row, &sentence, Style::Dim),
            Step::Adopted | Step::Fallback { .. } | Step::Repeat { .. } => {
                self.say(row, &sentence, Style::Warn);
            }
            Step::Answered { leg, .. } => {
                let lane = self.lane_of(leg);
                self.arrow(&mut row, lane, DIVERT, "200 OK", Style::Good);
                self.arrow(&mut row, DIVERT, CALLER, "200 OK", Style::Good);
                self.rows.push(row);
                self.talking(lane);
            }
            Step::Ended { by, result, cause, .. } => {
                self.ended(&mut row, by, result, cause);
                self.rows.push(row);
            }
            Step::NotAnswered { leg, name, outcome, sip_code, .. } => {
                self.not_answered(&mut row, leg, outcome, sip_code);
                let lane = self.lane_of(leg);
                self.lines[lane] = Line::None;
                let rest = sentence.strip_prefix(&plain(&name)).unwrap_or(&sentence);
                self.remark(row, rest.trim_start_matches(" · "), false);
            }
            Step::Received { .. } => {
                self.arrow(&mut row, CALLER, DIVERT, "INVITE", Style::Plain);
                self.rows.push(row);
            }
            Step::Ringing { leg, .. } => {
                let lane = self.lane_of(leg);
                self.arrow(&mut row, lane, DIVERT, "180 Ringing", Style::Plain);
                // The caller is told once, whoever rings after that.
                if !std::mem::replace(&mut self.caller_rings, true) {
                    self.arrow(&mut row, DIVERT, CALLER, "180 Ringing", Style::Plain);
                }
                self.rows.push(row);
            }
            Step::Routed { leg, name, .. } => {
                let lane = self.lane_of(leg);
                if self.lines[lane] == Line::None {
                    let mut head = self.row();
                    let room = self.at[1] - self.at[0] - 1;
                    head.centred(self.at[lane], &shorten(&plain(&name), room), Style::Name);
                    self.rows.push(head);
                }
                self.lines[lane] = Line::Alive;
                row.put(self.at[lane], '│', Style::Dim);
                self.arrow(&mut row, DIVERT, lane, "INVITE", Style::Plain);
                let rest = sentence.strip_prefix(&plain(&name)).unwrap_or(&sentence).trim_start();
                // Whom it passed over says more than how eagerly it was chosen.
                let (chosen, skipped) = rest.split_once(" · ").unwrap_or((rest, ""));
                if skipped.is_empty() || skipped == self.skipped {
                    self.remark(row, chosen.trim_matches(['(', ')']), false);
                } else {
                    self.remark(row, skipped, true);
                    skipped.clone_into(&mut self.skipped);
                }
            }
            Step::Unroutable { .. } => {
                self.mark(&mut row);
                self.say(row, &sentence, Style::Alarm);
            }
        }
    }

    /// Both parties' lines become double and are joined.
    fn talking(&mut self, lane: usize) {
        let mut row = self.row();
        let (from, to) = (self.at[CALLER], self.at[lane]);
        for at in from + 1..to {
            row.put(at, '═', Style::Good);
        }
        row.put(from, '╠', Style::Good);
        row.put(to, '╣', Style::Good);
        row.centred(usize::midpoint(from, to), " talking ", Style::Good);
        self.rows.push(row);
        self.lines[CALLER] = Line::Talking;
        self.lines[lane] = Line::Talking;
        self.talking = Some(lane);
        let mut below = self.row();
        if self.call.talk_ms() > 0 {
            let length = format!(" {} ", duration(self.call.talk_ms()));
            below.centred(usize::midpoint(from, to), &length, Style::Bold);
        }
        self.rows.push(below);
    }

    fn ended(&mut self, row: &mut Row, by: EndedBy, result: CallResult, cause: HangupCause) {
        let answered = result == CallResult::Answered;
        let style = if answered { Style::Plain } else { Style::Warn };
        let talking = self.talking.take();
        match by {
            EndedBy::Caller => {
                let word = if answered { "BYE" } else { "CANCEL" };
                self.arrow(row, CALLER, DIVERT, word, style);
                if let Some(lane) = talking {
                    self.arrow(row, DIVERT, lane, "BYE", style);
                }
            }
            EndedBy::Destination => {
                if let Some(lane) = talking {
                    self.arrow(row, lane, DIVERT, "BYE", style);
                }
                self.arrow(row, DIVERT, CALLER, "BYE", style);
            }
            EndedBy::Divert | EndedBy::Restart => {
                let word = match (result, by) {
                    (CallResult::Unrouted, _) => "to dialplan".to_owned(),
                    (_, EndedBy::Restart) => "✕ restart".to_owned(),
                    _ if answered => "BYE".to_owned(),
                    _ => format!("hang-up {cause}"),
                };
                self.arrow(row, DIVERT, CALLER, &word, style);
                if let Some(lane) = talking {
                    self.arrow(row, DIVERT, lane, "BYE", style);
                }
            }
        }
        for line in &mut self.lines {
            if *line == Line::Talking {
                *line = Line::Alive;
            }
        }
    }

    fn not_answered(&mut self, row: &mut Row, leg: u16, outcome: Outcome, code: Option<u16>) {
        let lane = self.lane_of(leg);
        let at = self.at[lane];
        let ours = matches!(outcome, Outcome::Abandoned | Outcome::Cancelled | Outcome::LostRace);
        let style = if ours {
            Style::Warn
        } else if self.failed {
            Style::Bad
        } else {
            self.mark(row);
            Style::Alarm
        };
        match code {
            Some(code) => {
                self.arrow(row, lane, DIVERT, &format!("{code} {}", phrase(code)), style);
                row.put(at, '✕', style);
            }
            None if ours || outcome == Outcome::NoAnswer => {
                let word = if ours { "CANCEL" } else { "no answer" };
                self.arrow(row, DIVERT, lane, word, style);
                row.put(at, '┴', style);
            }
            None => {
                let word = outcome.to_string().replace('_', " ");
                self.arrow(row, lane, DIVERT, &word, style);
                row.put(at, '✕', style);
            }
        }
    }

    /// The first thing that went wrong is what a reader looks for.
    fn mark(&mut self, row: &mut Row) {
        if !self.failed {
            row.text(TIME + 1, "✘", Style::Alarm);
        }
        self.failed = true;
    }

    fn arrow(&self, row: &mut Row, from: usize, to: usize, label: &str, style: Style) {
        let (from, to) = (self.at[from], self.at[to]);
        let (low, high) = (from.min(to), from.max(to));
        for at in low + 1..high {
            let crossed = self.at.iter().position(|x| *x == at).map(|nth| self.lines[nth]);
            let dash = match crossed {
                Some(Line::Alive | Line::Coming) => '┼',
                Some(Line::Talking) => '╫',
                _ => '─',
            };
            row.put(at, dash, style);
        }
        let (tip, tip_at, tee) =
            if to > from { ('▶', high - 1, '├') } else { ('◀', low + 1, '┤') };
        row.put(from, tee, style);
        row.put(tip_at, tip, style);
        let label = shorten(label, (high - low).saturating_sub(5));
        row.centred(usize::midpoint(low, high), &format!(" {label} "), style);
    }

    /// A sentence of its own, beside divert's line.
    fn say(&mut self, mut row: Row, text: &str, style: Style) {
        let at = self.at[DIVERT] + 2;
        row.text(at, &shorten(&plain(text), self.width - at), style);
        self.rows.push(row);
    }

    /// A remark on a row: in its own column where there is one, else below if it matters.
    fn remark(&mut self, mut row: Row, text: &str, matters: bool) {
        if let Some(at) = self.remarks_at {
            row.text(at, &shorten(text, self.width - at), Style::Dim);
            self.rows.push(row);
            return;
        }
        self.rows.push(row);
        if matters && !text.is_empty() {
            let below = self.row();
            self.say(below, text, Style::Dim);
        }
    }

    fn lane_of(&self, leg: u16) -> usize {
        self.lane.get(&leg).copied().unwrap_or(DIVERT + 1)
    }

    fn close(&mut self, call: &Call) {
        let mut row = Row::default();
        let end = if call.is_over() { '╵' } else { '▾' };
        for (at, line) in self.at.iter().zip(&self.lines) {
            match line {
                Line::Alive => row.put(*at, end, Style::Dim),
                Line::Talking => row.put(*at, end, Style::Good),
                Line::Coming | Line::None => {}
            }
        }
        self.rows.push(row);
    }
}

fn head(call: &Call, terminal: Terminal) -> String {
    let verdict = call.verdict().replace('_', " ");
    let tag = if call.is_test() { "  test" } else { "" };
    let id = plain(&call.id);
    let room = terminal.width.saturating_sub(width_of(&id) + verdict.len() + tag.len());
    let first = [
        terminal.paint(Style::Bold, &id),
        " ".repeat(room),
        terminal.paint(call.style(), &verdict),
        terminal.paint(Style::Warn, tag),
    ];
    let second = format!(
        "{} → {} · flow {} · {}",
        plain(&call.caller.to_string()),
        plain(&call.did),
        call.flow_name(),
        call.started_at.show("%F %H:%M:%S %Z"),
    );
    let rule = terminal.paint(Style::Dim, &"─".repeat(terminal.width));
    format!("{}\n{}\n{rule}\n", first.concat(), shorten(&second, terminal.width))
}

fn foot(call: &Call, terminal: Terminal) -> String {
    let tries = match call.legs.len() {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let mut parts = vec![tries];
    if call.is_over() {
        parts.insert(0, format!("talk {}", duration(call.talk_ms())));
        if let Some(by) = &call.ended_by {
            parts.push(format!("ended by {}", ender(by)));
        }
        if let Some(cause) = call.cause {
            parts.push(format!("cause {cause}"));
        }
    } else {
        parts.push("still on".to_owned());
    }
    if call.is_test() {
        parts.push("test, never billed".to_owned());
    }
    let rule = terminal.paint(Style::Dim, &"─".repeat(terminal.width));
    format!("{rule}\n{}\n", shorten(&parts.join(" · "), terminal.width))
}

/// `the caller` for `caller`.
#[must_use]
pub fn ender(by: &str) -> String {
    match by {
        "caller" => "the caller".to_owned(),
        "destination" => "the destination".to_owned(),
        "restart" => "a restart of Asterisk".to_owned(),
        other => plain(other),
    }
}

/// Short reason phrases of the responses a call meets (RFC 3261 §21, and later registrations).
fn phrase(code: u16) -> &'static str {
    match code {
        300..=399 => "Redirect",
        400 => "Bad Request",
        401 | 407 => "No Login",
        403 => "Forbidden",
        404 | 604 => "Not Found",
        408 | 504 => "Timeout",
        410 => "Gone",
        480 | 503 => "Unavailable",
        484 => "Incomplete",
        486 | 600 => "Busy",
        487 => "Cancelled",
        488 | 606 => "No Codec",
        500 => "Error",
        502 => "Bad Gateway",
        603 => "Declined",
        _ => "Failed",
    }
}

/// Columns with what stands in them and its style; grows as they are put. A wide letter has two, of
/// which the second is empty.
#[derive(Clone, Default)]
struct Row(Vec<(String, Style)>);

impl Row {
    fn put(&mut self, at: usize, letter: char, style: Style) {
        self.set(at, letter.to_string(), style);
    }

    fn set(&mut self, at: usize, text: String, style: Style) {
        if self.0.len() <= at {
            self.0.resize(at + 1, (" ".to_owned(), Style::Plain));
        }
        self.0[at] = (text, style);
    }

    fn text(&mut self, mut at: usize, text: &str, style: Style) {
        for letter in text.chars() {
            let width = letter.width().unwrap_or(0);
            if width > 0 {
                self.put(at, letter, style);
                (1..width).for_each(|more| self.set(at + more, String::new(), style));
            } else if let Some((before, _)) = at.checked_sub(1).and_then(|at| self.0.get_mut(at)) {
                before.push(letter);
            }
            at += width;
        }
    }

    fn centred(&mut self, at: usize, text: &str, style: Style) {
        self.text(at.saturating_sub(width_of(text) / 2), text, style);
    }

    fn render(&self, terminal: Terminal) -> String {
        let mut text = String::new();
        for run in self.0.chunk_by(|a, b| a.1 == b.1) {
            let part: String = run.iter().map(|(text, _)| text.as_str()).collect();
            text.push_str(&terminal.paint(run[0].1, &part));
        }
        text.trim_end().to_owned() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_letter_takes_two_columns_and_a_mark_none() {
        let mut row = Row::default();
        row.text(0, "東e\u{301}", Style::Plain);
        row.put(5, '│', Style::Plain);
        let pipe = Terminal { colour: false, width: 80 };
        assert_eq!(row.render(pipe), "東e\u{301}  │\n");
    }
}
