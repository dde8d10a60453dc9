//! YAML text as a value, with the line of everything in it (YAML 1.2.2, core schema, one document).
//!
//! A plain scalar becomes a number only if that number is written exactly so: `0800`, `+1202…`,
//! `1e5` and `0x1f` stay the text that was typed, because most of what looks like a number here is
//! a telephone number. `yes`, `no`, `on` and `off` are text, as in YAML 1.2. Aliases and tags other
//! than `!!str` are refused: a document says what it means where it means it.

mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};

use crate::model::configuration::Configuration;
use crate::model::document::{Reading, Unnamed, read_document};
use crate::model::problem::{Problem, token};

pub use self::write::write;

/// A document as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Yaml {
    pub value: Value,
    /// The line of each JSON pointer, from 1; for the value of a key, the line of the key.
    pub lines: BTreeMap<String, usize>,
    /// Words that were taken for a comment or an anchor, by the pointer of the value they probably
    /// are: `- #99`.
    pub swallowed: BTreeMap<String, String>,
    /// Faults that did not stop the reading: keys that stand twice, aliases, tags.
    pub problems: Vec<Problem>,
}

/// Reads one document.
///
/// # Errors
///
/// The first place where the text is not YAML, or not of a shape that JSON has.
pub fn read(text: &str) -> Result<Yaml, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder { lines: text.lines().collect(), ..Builder::default() };
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| builder.unreadable(&error))?;
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let message = "a second document starts here";
                let hint = "put everything above the line --- or into a file of its own";
                builder.yaml.problems.push(at(span.start, "syntax", message, hint));
                break;
            }
        }
        builder.take(event, span.start)?;
    }
    Ok(builder.yaml)
}

/// Reads a configuration document from its text into `current`, as
/// [`read_document`] does from a value; problems and warnings carry their
/// lines and come in the order of these.
///
/// # Errors
///
/// Every problem of the text and of what it says; only text that is not YAML at all yields just
/// the first.
pub fn read_configuration(
    text: &str,
    current: &Configuration,
    unnamed: Unnamed,
    mint: &mut dyn FnMut() -> u128,
) -> Result<Reading, Vec<Problem>> {
    let yaml = read(text).map_err(|problem| vec![problem])?;
    let mut problems = yaml.problems.clone();
    match read_document(&yaml.value, current, unnamed, mint) {
        Ok(mut reading) if problems.is_empty() => {
            yaml.locate(&mut reading.warnings);
            return Ok(reading);
        }
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    yaml.locate(&mut problems);
    Err(problems)
}

impl Yaml {
    /// Gives each problem without a line that of its pointer, or of the nearest thing around it, and
    /// sorts them by line. Where a value lacks because YAML took it for something else, they say so.
    pub fn locate(&self, problems: &mut [Problem]) {
        for problem in problems.iter_mut().filter(|problem| problem.line.is_none()) {
            let mut pointer = problem.pointer.as_str();
            problem.line = loop {
                if let Some(line) = self.lines.get(pointer) {
                    break Some(*line);
                }
                match pointer.rfind('/') {
                    Some(parent) if parent > 0 => pointer = &pointer[..parent],
                    _ => break None,
                }
            };
            let lacks = matches!(problem.code, "missing" | "wrong_type");
            if let Some(word) = self.swallowed.get(&problem.pointer).filter(|_| lacks) {
                (problem.message, problem.hint) = (own_meaning(word), in_quotes(word));
            }
        }
        problems.sort_by(|a, b| (a.line, &a.pointer).cmp(&(b.line, &b.pointer)));
    }
}

fn at(
    mark: Marker,
    code: &'static str,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Problem {
    Problem { line: Some(mark.line()), ..Problem::new("", code, message, hint) }
}

fn own_meaning(word: &str) -> String {
    let meaning = match word.chars().next() {
        Some('#') => "begins a comment",
        Some('*' | '&') => "refers to something",
        _ => "has a meaning of its own",
    };
    format!("{word} {meaning} in YAML")
}

fn in_quotes(word: &str) -> String {
    format!("put it in quotes: \"{word}\"")
}

/// The first word of a line that begins with a sign YAML keeps for itself, and was probably meant as
/// text: `*77`, `#99`, `@home`. A comment in words is one.
fn signed(line: &str) -> Option<&str> {
    let mut quote = None;
    // A word begins; a value does, too; how many brackets are open; the line has its key.
    let (mut is_begin, mut is_value, mut depth, mut has_key) = (true, true, 0_usize, false);
    for (at, c) in line.char_indices() {
        if let Some(open) = quote {
            if c == open {
                quote = None;
            }
            continue;
        }
        let rest = &line[at..];
        let word = &rest[..rest.find([' ', '\t', ',', ']', '}']).unwrap_or(rest.len())];
        let is_alone = rest[c.len_utf8()..].chars().next().is_none_or(char::is_whitespace);
        match c {
            '#' if is_begin => {
                let is_number = |c: char| c.is_ascii_digit() || "*#+".contains(c);
                return Some(word).filter(|word| word.len() > 1 && word.chars().all(is_number));
            }
            '"' | '\'' if is_value => quote = Some(c),
            '*' | '&' | '!' | '%' | '@' | '`' if is_value && word.len() > 1 => return Some(word),
            _ => {}
        }
        is_begin = matches!(c, ' ' | '\t' | '[' | '{' | ',');
        is_value = match c {
            ' ' | '\t' => is_value,
            '[' | '{' if is_value => {
                depth += 1;
                true
            }
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                false
            }
            ',' => depth > 0,
            '-' => is_value && is_alone,
            // Outside of brackets a line has one key; what looks like a second one is text.
            ':' if is_alone && (depth > 0 || !has_key) => {
                has_key = true;
                true
            }
            _ => false,
        };
    }
    None
}

/// Deeper than any document has a reason to be.
const MAX_DEPTH: usize = 32;

#[derive(Default)]
struct Builder<'t> {
    /// Those of the text.
    lines: Vec<&'t str>,
    open: Vec<Open>,
    yaml: Yaml,
}

/// A mapping or list that has begun and not ended.
struct Open {
    pointer: String,
    kind: Kind,
}

enum Kind {
    List(Vec<Value>),
    Mapping { object: Map<String, Value>, key: Key },
}

/// What a mapping waits for.
enum Key {
    Awaited,
    /// The value of this key.
    Known(String),
    /// The value of a key that stands twice; it is read and dropped.
    Repeated(String),
}

impl Builder<'_> {
    /// The word on this line, counted from 1, that YAML does not take for text.
    fn signed(&self, line: usize) -> Option<&str> {
        signed(self.lines.get(line.checked_sub(1)?)?)
    }

    fn unreadable(&self, error: &ScanError) -> Problem {
        let line = error.marker().line();
        // A list that lacks its end because of a comment is missed a few lines later.
        let above = || {
            let lines = (line.saturating_sub(5)..line).rev();
            lines.filter_map(|line| self.signed(line)).find(|word| word.starts_with('#'))
        };
        if let Some(word) = self.signed(line).or_else(above) {
            return at(*error.marker(), "syntax", own_meaning(word), in_quotes(word));
        }
        let hint = if error.info().contains("tab") {
            "indent with spaces, not with tabs"
        } else {
            "look for wrong indentation, an open quote or an open bracket here or just above"
        };
        at(*error.marker(), "syntax", format!("this is not YAML: {}", error.info()), hint)
    }

    fn take(&mut self, event: Event<'_>, mark: Marker) -> Result<(), Problem> {
        match event {
            Event::Alias(_) => {
                self.expect_value(mark)?;
                let pointer = self.pointer();
                let message = "an alias (*) stands here";
                let hint = match self.signed(mark.line()) {
                    Some(word) => format!("write out what it stands for, or {}", in_quotes(word)),
                    None => "write out what it stands for".to_owned(),
                };
                let problem = at(mark, "alias", message, hint);
                self.yaml.problems.push(Problem { pointer, ..problem });
                self.place(Value::Null, mark);
            }
            Event::Scalar(text, style, _, tag) => {
                if self.awaits_key() {
                    self.key(&text, mark);
                } else {
                    let value = self.scalar(text, style, tag.as_deref(), mark);
                    if let Some(word) = self.signed(mark.line()).filter(|_| value.is_null()) {
                        let word = word.to_owned();
                        self.yaml.swallowed.insert(self.pointer(), word);
                    }
                    self.place(value, mark);
                }
            }
            Event::SequenceStart(_, tag) => {
                self.tag(tag.as_deref(), mark);
                self.begin(Kind::List(Vec::new()), mark)?;
            }
            Event::MappingStart(_, tag) => {
                self.tag(tag.as_deref(), mark);
                self.begin(Kind::Mapping { object: Map::new(), key: Key::Awaited }, mark)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { kind, .. }) = self.open.pop() {
                    let value = match kind {
                        Kind::List(items) => Value::Array(items),
                        Kind::Mapping { object, .. } => Value::Object(object),
                    };
                    self.attach(value);
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: Kind::Mapping { key: Key::Awaited, .. }, .. }))
    }

    fn expect_value(&self, mark: Marker) -> Result<(), Problem> {
        if self.awaits_key() {
            let hint = "type one word, a colon, and the value";
            return Err(at(mark, "syntax", "a key must be a single word", hint));
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind, mark: Marker) -> Result<(), Problem> {
        self.expect_value(mark)?;
        if self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels inside each other");
            return Err(at(mark, "syntax", message, "no document needs more than six"));
        }
        let pointer = self.pointer();
        self.note_line(&pointer, mark);
        self.open.push(Open { pointer, kind });
        Ok(())
    }

    /// The pointer of the value that comes next.
    fn pointer(&self) -> String {
        match self.open.last() {
            None => String::new(),
            Some(Open { pointer, kind: Kind::List(items) }) => format!("{pointer}/{}", items.len()),
            Some(Open { pointer, kind: Kind::Mapping { key, .. } }) => {
                let key = match key {
                    Key::Awaited => "",
                    Key::Known(key) | Key::Repeated(key) => key,
                };
                format!("{pointer}/{}", token(key))
            }
        }
    }

    /// The first line that is known for a pointer stays: that of the key before its value.
    fn note_line(&mut self, pointer: &str, mark: Marker) {
        self.yaml.lines.entry(pointer.to_owned()).or_insert(mark.line());
    }

    fn key(&mut self, text: &str, mark: Marker) {
        let Some(Open { pointer, kind: Kind::Mapping { object, key } }) = self.open.last_mut()
        else {
            return;
        };
        let here = format!("{pointer}/{}", token(text));
        if object.contains_key(text) {
            *key = Key::Repeated(text.to_owned());
            let first = self.yaml.lines.get(&here).copied().unwrap_or_default();
            let message = format!("{text} stands here a second time; the first is on line {first}");
            let problem = at(mark, "duplicate_key", message, "keep one of them");
            self.yaml.problems.push(Problem { pointer: here, ..problem });
        } else {
            *key = Key::Known(text.to_owned());
            self.note_line(&here, mark);
        }
    }

    fn place(&mut self, value: Value, mark: Marker) {
        let pointer = self.pointer();
        self.note_line(&pointer, mark);
        self.attach(value);
    }

    /// Puts a finished value where it belongs.
    fn attach(&mut self, value: Value) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.yaml.value = value,
            Some(Kind::List(items)) => items.push(value),
            Some(Kind::Mapping { object, key }) => {
                if let Key::Known(key) = mem::replace(key, Key::Awaited) {
                    object.insert(key, value);
                }
            }
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, mark: Marker) {
        if let Some(tag) = tag {
            let message = format!("the tag {tag} means nothing here");
            let hint = match self.signed(mark.line()) {
                Some(word) => format!("leave it out, or {}", in_quotes(word)),
                None => "leave it out".to_owned(),
            };
            let problem = at(mark, "tag", message, hint);
            let pointer = self.pointer();
            self.yaml.problems.push(Problem { pointer, ..problem });
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        mark: Marker,
    ) -> Value {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.tag(tag, mark);
        }
        if is_text || style != ScalarStyle::Plain {
            return Value::String(text.into_owned());
        }
        match &*text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ => match serde_json::from_str::<serde_json::Number>(&text) {
                Ok(number) if number.to_string() == *text => Value::Number(number),
                _ => Value::String(text.into_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pointer_has_its_line() {
        let yaml = read("# a comment\na:\n  - b: 1\n    c:\n      - x\n\n  - d/e: 2\n").unwrap();
        assert_eq!(yaml.value, json!({"a": [{"b": 1, "c": ["x"]}, {"d/e": 2}]}));
        let lines: Vec<(&str, usize)> = yaml.lines.iter().map(|(p, l)| (p.as_str(), *l)).collect();
        let wanted = [
            ("", 2),
            ("/a", 2),
            ("/a/0", 3),
            ("/a/0/b", 3),
            ("/a/0/c", 4),
            ("/a/0/c/0", 5),
            ("/a/1", 7),
            ("/a/1/d~1e", 7),
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn only_a_number_that_is_written_as_it_is_becomes_one() {
        let value = |text: &str| read(text).unwrap().value;
        for number in ["0", "7", "-5", "12025550100", "18446744073709551615", "1.5"] {
            assert!(value(number).is_number(), "{number}");
        }
        for text in [
            "0800",
            "+12025550100",
            "1e5",
            "0x1f",
            "0o17",
            "1_000",
            "1.50",
            "-0",
            ".5",
            ".inf",
            "no",
            "on",
            "yes",
            "y",
            "184467440737095516150",
            "12:30:45",
            "2026-11-21",
        ] {
            assert_eq!(value(text), json!(text));
        }
        assert_eq!(value("\"70\""), json!("70"));
        assert_eq!(value("!!str 70"), json!("70"));
        assert_eq!(value("[true, ~, null, '']"), json!([true, null, null, ""]));
        assert_eq!(value(""), Value::Null);
    }

    #[test]
    fn keys_that_stand_twice_are_told_with_both_lines() {
        let yaml = read("a: 1\nb:\n  c: 1\n  c: [2]\na: {x: 3}\n").unwrap();
        assert_eq!(yaml.value, json!({"a": 1, "b": {"c": 1}}), "the first one counts");
        let told: Vec<(Option<usize>, &str, &str)> = yaml
            .problems
            .iter()
            .map(|p| (p.line, p.pointer.as_str(), p.message.as_str()))
            .collect();
        let wanted = [
            (Some(4), "/b/c", "c stands here a second time; the first is on line 3"),
            (Some(5), "/a", "a stands here a second time; the first is on line 1"),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn what_json_has_not_is_refused_with_its_line() {
        let yaml = read("a: &x 1\nb: *x\nc: !thing 2\n").unwrap();
        let lines: Vec<_> = yaml.problems.iter().map(|p| (p.line, p.code)).collect();
        assert_eq!(lines, [(Some(2), "alias"), (Some(3), "tag")]);
        let second = read("a: 1\n---\nb: 2\n").unwrap();
        assert_eq!(second.problems[0].line, Some(2));
        assert_eq!(second.value, json!({"a": 1}));
        assert_eq!(read("a: 1\n? [b]\n: 2\n").unwrap_err().line, Some(2));
        assert!(read(&"[".repeat(100)).is_err());
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(read(&deep).unwrap_err().message.contains("32 levels"));
    }

    #[test]
    fn broken_text_says_on_which_line() {
        for (text, line) in [
            ("a: 1\n b: 2\n", 2),
            ("a: 1\nb: [1, 2\nc: 3\n", 3),
            ("a:\n\t- b\n", 2),
            ("a: *nobody\n", 1),
        ] {
            let problem = read(text).unwrap_err();
            assert_eq!(problem.line, Some(line), "{text:?}: {}", problem.message);
            assert!(!problem.hint.is_empty());
        }
        assert!(read("\u{feff}a: 1\r\nb: 2\r\n").is_ok());
    }

    #[test]
    fn a_number_that_yaml_takes_for_something_else_is_asked_for_in_quotes() {
        let told = |text: &str| match read(text) {
            Err(problem) => vec![problem],
            Ok(yaml) => {
                // What a reader says who wants text everywhere.
                let mut problems = yaml.problems.clone();
                let places = ["/dids/0", "/dids/1", "/did"].into_iter();
                let empty = places.filter(|at| yaml.value.pointer(at) == Some(&Value::Null));
                problems.extend(empty.map(|at| Problem::new(at, "wrong_type", "", "")));
                yaml.locate(&mut problems);
                problems
            }
        };
        for (text, line, word) in [
            ("dids:\n  - \"1\"\n  - #99\nx: 1\n", 3, "#99"),
            ("dids:\n  - #99\n  - 5\n", 2, "#99"),
            ("dids:\n  - *77\n", 2, "*77"),
            ("dids:\n- *77 # stars\n", 2, "*77"),
            ("dids: [*77, 5]\n", 1, "*77"),
            ("dids: [5, *77]\n", 1, "*77"),
            ("dids: [5, #99]\nx: 1\n", 2, "#99"),
            ("did: #99\nx: 1\n", 1, "#99"),
            ("did: *77\n", 1, "*77"),
            ("did: *#06#\n", 1, "*#06#"),
            ("did: &77\n", 1, "&77"),
            ("did: !77\n", 1, "!77"),
            ("did: %77\n", 1, "%77"),
            ("did: @home\n", 1, "@home"),
            ("did: `x`\n", 1, "`x`"),
            ("- did: @home\n", 1, "@home"),
            ("- - @home\n", 1, "@home"),
            ("- {name: a, did: @home}\n", 1, "@home"),
            ("name: {a: [b, c], did: @home}\n", 1, "@home"),
        ] {
            let problems = told(text);
            let wanted = format!("put it in quotes: \"{word}\"");
            assert!(!problems.is_empty(), "{text:?}");
            for Problem { line: found, hint, .. } in &problems {
                assert!(hint.ends_with(&wanted), "{text:?}: {problems:?}");
                assert_eq!(*found, Some(line), "{text:?}");
            }
        }
        // A sign within a text is no sign: the fault is another one.
        for text in [
            "name: call @home: now\n",
            "name: a: b *77\n",
            "name: sales & support: x\n",
            "name: a - @home: x\n",
            "name: a, *77: x\n",
            "name: it's @home: x\n",
            "name: a: @home\n",
        ] {
            let problem = read(text).unwrap_err();
            assert!(!problem.hint.contains("in quotes"), "{text:?}: {problem:?}");
        }
        // What is a comment, or text all the same.
        for text in [
            "did: \"#99\" # 99\n",
            "did: '*77'\n",
            "did: 5#99\n",
            "did: 5 # *77\n",
            "# *77\ndid: +12025550100\n",
            "dids: [\"#99\", '*77', 1*7]\n",
        ] {
            assert_eq!(told(text), [], "{text:?}");
        }
        let yaml = read("max_live: # no limit\nspacing_sec: #\n").unwrap();
        assert!(yaml.swallowed.is_empty(), "{yaml:?}");
    }

    #[test]
    fn a_problem_takes_the_line_of_the_nearest_thing_around_it() {
        let yaml = read("a:\n  - b: 1\n    c: 2\n").unwrap();
        let problem = |pointer: &str| Problem::new(pointer, "x", "", "");
        let mut problems = [problem("/a/0/missing/deep"), problem("/a/0/c"), problem("/nowhere")];
        yaml.locate(&mut problems);
        let lines: Vec<_> = problems.iter().map(|p| (p.pointer.as_str(), p.line)).collect();
        let wanted = [("/nowhere", None), ("/a/0/missing/deep", Some(2)), ("/a/0/c", Some(3))];
        assert_eq!(lines, wanted);
    }
}
