//! `divert help …`: what each kind of object is, made of its description; pages about everything else
//! that operators ask; and the options of every command.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::iter;
use std::sync::LazyLock;

use clap::Args;
use serde_json::{Map, Value, json};

use super::input::for_a_shell;
use super::terminal::{Style, Terminal, plain, say, wrap};
use super::{Failure, command, fields};
use crate::model::object::{Field, Record as _, Shape as _, paragraph};
use crate::model::objects::account::AccountSettings;
use crate::model::objects::destination::Destination;
use crate::model::objects::number::Number;
use crate::model::objects::{KINDS, Kind};
use crate::model::problem::similar;
use crate::yaml;

#[derive(Args, Debug)]
pub struct HelpArgs {
    /// A kind of object, a page, or a command with its words
    #[arg(value_name = "WHAT")]
    words: Vec<String>,
}

/// A page that somebody wrote.
struct Text {
    word: &'static str,
    about: &'static str,
    page: &'static str,
}

macro_rules! texts {
    ($($word:literal $about:literal $file:literal;)*) => {
        const TEXTS: &[Text] =
            &[$(Text { word: $word, about: $about, page: include_str!($file) },)*];
    };
}

texts! {
    "api" "the HTTP API, keys, limits of requests" "help/api.md";
    "asterisk" "to put divert before your own Asterisk, step by step" "../../asterisk/README.md";
    "billing" "what is billed, and how seconds are counted" "help/billing.md";
    "callers" "stickiness, callers who call again, hidden numbers" "help/callers.md";
    "database" "SQLite or Postgres, backup, when it is away or full" "help/database.md";
    "documents" "configuration documents for plan, apply and export" "help/documents.md";
    "failover" "what happens when divert, Asterisk or a trunk dies" "help/failover.md";
    "gaps" "what divert does not do" "help/gaps.md";
    "limits" "live-call limits, and several nodes on one database" "help/limits.md";
    "performance" "calls a second, delay and memory, measured" "help/performance.md";
    "results" "what became of a call, in one word" "help/results.md";
    "routing" "how a call finds its destination" "help/routing.md";
    "terminal" "lists, ids, times and exit codes of every command" "help/terminal.md";
}

/// The command of a kind: `rate-decks`. A forwarding flow is called a flow.
#[must_use]
pub fn command_of(kind: &Kind) -> &'static str {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let word = |kind: &Kind| kind.section.trim_start_matches("forwarding_").replace('_', "-");
        KINDS.iter().map(word).collect()
    });
    let at = KINDS.iter().position(|one| one.prefix == kind.prefix).unwrap_or_default();
    &WORDS[at]
}

/// What a page about objects tells.
pub struct Page {
    pub word: String,
    doc: String,
    fields: Vec<Field>,
    either: &'static [&'static [&'static str]],
    /// The keys around the example in a document.
    section: &'static str,
    example: Value,
    /// What stands between the command and the fields: the flow of a destination.
    within: &'static str,
    has_many: bool,
}

impl Page {
    #[must_use]
    pub fn of(kind: &'static Kind) -> Self {
        Self {
            word: command_of(kind).to_owned(),
            doc: kind.doc(),
            fields: (kind.fields)(),
            either: (kind.either)(),
            section: kind.section,
            example: (kind.example)(),
            within: "",
            has_many: true,
        }
    }

    fn all() -> Vec<Self> {
        let doc = |schema: Value| schema["description"].as_str().map(paragraph).unwrap_or_default();
        let mut pages: Vec<Self> = KINDS.iter().map(Self::of).collect();
        let of_flow = pages.iter().find_map(|page| page.example["destinations"].get(0));
        let destination = Self {
            word: "destinations".to_owned(),
            doc: doc(Destination::schema()),
            fields: Destination::fields(),
            either: &[&["server", "did"], &["trunk", "number"], &["toll_free"]],
            section: "",
            example: of_flow.cloned().unwrap_or_default(),
            within: "sales",
            has_many: true,
        };
        pages.push(destination);
        pages.push(Self {
            word: "numbers".to_owned(),
            doc: doc(Number::schema()),
            fields: Number::fields(),
            either: &[],
            section: "numbers",
            example: Number::example(),
            within: "",
            has_many: true,
        });
        pages.push(Self {
            word: "account".to_owned(),
            doc: doc(AccountSettings::schema()),
            fields: AccountSettings::fields(),
            either: &[],
            section: "account",
            example: AccountSettings::example(),
            within: "",
            has_many: false,
        });
        pages
    }

    /// A line to type for one of the commands of the kind.
    #[must_use]
    pub fn example_of(&self, command: &str) -> Option<String> {
        let word = &self.word;
        let name = for_a_shell(self.example["name"].as_str().unwrap_or_default());
        let mut parts: Vec<String> = vec![format!("divert {word} {command}")];
        parts.extend((!self.within.is_empty()).then(|| self.within.to_owned()));
        match command {
            "list" => {}
            "show" | "remove" => parts.push(name),
            "set" => {
                parts.extend((!name.starts_with("''")).then_some(name));
                parts.push(self.assignment(self.changeable()?)?);
            }
            "create" => {
                let wanted = |field: &&Field| {
                    // Where a name need not be typed, its own would be taken.
                    let is_plain =
                        || field.name != "name" && !is_composed(&self.example[field.name]);
                    field.is_required || self.is_one_of(field.name) || is_plain()
                };
                let fields = self.fields.iter().filter(wanted);
                let typed = fields.filter(|field| self.example.get(field.name).is_some());
                parts.extend(typed.filter_map(|field| self.assignment(field.name)));
            }
            _ => return None,
        }
        Some(continued(&parts))
    }

    fn assignment(&self, field: &str) -> Option<String> {
        let default = || self.fields.iter().find(|one| one.name == field)?.default.as_ref();
        let value = self.example.get(field).or_else(default)?;
        let value = match value {
            Value::Array(_) | Value::Object(_) => fields::inner(value),
            other => fields::shown(other),
        };
        Some(for_a_shell(&format!("{field}={value}")))
    }

    fn is_one_of(&self, field: &str) -> bool {
        matches!(field, "destinations" | "dids")
            || self.either.iter().any(|keys| keys.contains(&field))
    }

    /// A field that one would change alone: a number, if there is one.
    fn changeable(&self) -> Option<&str> {
        let is_free = |field: &&Field| {
            !field.is_required
                && !self.is_one_of(field.name)
                && !matches!(field.name, "id" | "name")
        };
        let free: Vec<&Field> = self.fields.iter().filter(is_free).collect();
        let typed = |field: &&&Field| self.example.get(field.name).is_some();
        let is_plain = |field: &&&Field| typed(field) && !is_composed(&self.example[field.name]);
        let is_number = |field: &&&Field| self.example[field.name].is_number();
        let has_default = |field: &&&Field| field.default.is_some();
        let found = free.iter().find(is_number).or_else(|| free.iter().find(is_plain));
        let found = found.or_else(|| free.iter().find(typed));
        found.or_else(|| free.iter().find(has_default)).map(|field| field.name)
    }

    fn commands(&self) -> Vec<String> {
        let commands: &[&str] = match self.word.as_str() {
            "account" => &["set"],
            "numbers" => {
                return vec![
                    "divert numbers add +12025550177 --flow sales".to_owned(),
                    "divert numbers list --flow sales".to_owned(),
                ];
            }
            _ => &["create", "set"],
        };
        commands.iter().filter_map(|command| self.example_of(command)).collect()
    }

    /// As it would stand in a document.
    fn document(&self) -> Value {
        let example = self.example.clone();
        if self.section.is_empty() {
            let flow = json!({ "name": self.within, "destinations": [example] });
            return json!({ "forwarding_flows": [flow] });
        }
        let value = if self.has_many { json!([example]) } else { example };
        Value::Object(Map::from_iter([(self.section.to_owned(), value)]))
    }

    fn show(&self, terminal: Terminal) -> String {
        let mut text = terminal.paint(Style::Bold, &format!("divert {}", self.word)) + "\n\n";
        text.push_str(&indented(&self.doc, 0, terminal));
        let mut keys = self.either.iter().flat_map(|keys| keys.iter());
        if keys.any(|key| !self.doc.contains(&format!("`{key}`"))) {
            let sets = self.either.iter().map(|keys| keys.join(" and "));
            let sets = sets.collect::<Vec<_>>().join(", or ");
            text.push_str(&indented(&format!("Exactly one is wanted: {sets}."), 0, terminal));
        }
        text.push_str("\nFields:\n");
        for field in &self.fields {
            let schema = (field.schema)();
            let default = field.default.as_ref();
            let line = (field.name, &schema, default, field.is_required);
            describe(line, &field.doc(), 2, terminal, &mut text);
        }
        let _ = write!(text, "\nIn a document:\n{}", block(&yaml::write(&self.document())));
        let commands = self.commands().join("\n");
        let _ = write!(text, "\nAs a command:\n{}", block(&commands));
        let _ = write!(text, "\nMore: divert {} --help\n", self.word);
        text
    }
}

/// A command in as few lines as have room for it, which a shell takes for one. Words that are quoted
/// mappings go on in the next line too.
fn continued(words: &[String]) -> String {
    let mut text = String::new();
    let mut used = 0;
    for word in words {
        let parts: Vec<&str> = word.split_inclusive("}, ").collect();
        for (nth, part) in parts.into_iter().enumerate() {
            let part = part.trim_end();
            let is_first = nth == 0;
            if used == 0 {
                used = 2;
            } else if used + 1 + part.len() > 76 {
                text.push_str(if is_first { " \\\n    " } else { "\n    " });
                used = 6;
            } else {
                text.push(' ');
                used += 1;
            }
            text.push_str(part);
            used += part.len();
        }
    }
    text
}

/// `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Everything a little to the right.
fn block(text: &str) -> String {
    let mut block = String::new();
    for line in text.lines() {
        let _ = writeln!(block, "  {line}");
    }
    block
}

/// Words within the width that people read well.
fn indented(words: &str, indent: usize, terminal: Terminal) -> String {
    let words: Vec<String> = plain(words).replace('`', "").split(' ').map(str::to_owned).collect();
    let width = terminal.width.min(80).saturating_sub(indent);
    let lines = wrap(&words, " ", width);
    let mut text = String::new();
    for line in lines.lines() {
        let _ = writeln!(text, "{:indent$}{line}", "");
    }
    text
}

/// One field with those inside it.
fn describe(
    (name, schema, default, is_required): (&str, &Value, Option<&Value>, bool),
    doc: &str,
    indent: usize,
    terminal: Terminal,
    text: &mut String,
) {
    let mut line = terminal.paint(Style::Name, name);
    let mut facts = vec![type_of(schema)];
    match default.filter(|default| !is_composed(default)) {
        Some(default) => facts.push(format!("default {}", fields::shown(default))),
        None if is_required => facts.push("required".to_owned()),
        None => {}
    }
    facts.retain(|fact| !fact.is_empty());
    let lines = wrap(&facts, ", ", terminal.width.min(80).saturating_sub(indent + name.len() + 4));
    let mut lines = lines.lines();
    let _ = write!(line, "  {}", lines.next().unwrap_or_default());
    let _ = writeln!(text, "{:indent$}{line}", "");
    let deeper = indent + 4;
    text.extend(lines.map(|line| format!("{:deeper$}{line}\n", "")));
    if !doc.is_empty() {
        text.push_str(&indented(doc, deeper, terminal));
    }
    // Those have a page of their own.
    if name == "destinations" {
        let _ = writeln!(text, "{:deeper$}Their fields: divert help destinations", "");
        return;
    }
    let inner = if schema["items"].is_object() { &schema["items"] } else { schema };
    let required: Vec<&str> =
        inner["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, inside) in inner["properties"].as_object().into_iter().flatten() {
        let doc = inside["description"].as_str().map(paragraph).unwrap_or_default();
        let is_required = required.contains(&key.as_str());
        let line = (key.as_str(), inside, inside.get("default"), is_required);
        describe(line, &doc, deeper, terminal, text);
    }
}

fn is_composed(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

/// What may be typed, in words.
fn type_of(schema: &Value) -> String {
    let choices = ["oneOf", "anyOf"].iter().find_map(|key| schema[key].as_array());
    if let Some(choices) = choices {
        let mut words: Vec<String> = choices.iter().map(type_of).collect();
        words.retain(|word| !word.is_empty() && word != "null");
        let mut seen = BTreeSet::new();
        words.retain(|word| seen.insert(word.clone()));
        return either(&words);
    }
    let words = schema["enum"].as_array().or(schema["const"].as_array());
    if let Some(words) = words {
        let words = words.iter().filter(|word| !word.is_null()).map(fields::shown);
        return either(&words.collect::<Vec<_>>());
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    };
    let bounds = |least: &str, most: &str| (schema[least].as_i64(), schema[most].as_i64());
    match kind {
        "integer" | "number" => match bounds("minimum", "maximum") {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("a number from {least}"),
            _ => "a number".to_owned(),
        },
        "boolean" => "true or false".to_owned(),
        "array" => match type_of(&schema["items"]).as_str() {
            "" => "a list".to_owned(),
            "a mapping" => "a list of mappings".to_owned(),
            items => format!("a list of {items}"),
        },
        "object" => "a mapping".to_owned(),
        "string" if schema["format"] == "date" => "a date".to_owned(),
        "string" => match bounds("minLength", "maxLength") {
            (least, Some(most)) => format!("text of {} to {most} characters", least.unwrap_or(0)),
            _ => "text".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// The first sentence, without the point and what stands in brackets for a machine.
#[must_use]
pub fn first_sentence(doc: &str) -> String {
    let sentence = doc.split(". ").next().unwrap_or(doc).trim_end_matches('.');
    let sentence = sentence.split(": ").next().unwrap_or(sentence);
    plain(sentence).replace('`', "")
}

/// What follows the list of commands.
#[must_use]
pub fn topics() -> String {
    let objects: Vec<String> = Page::all().into_iter().map(|page| page.word).collect();
    let mut text = "Fields of each kind of object, with an example: divert help KIND\n".to_owned();
    text.push_str(&block(&wrap(&objects, ", ", 76)));
    text.push_str("Pages:\n");
    for Text { word, about, .. } in TEXTS {
        let _ = writeln!(text, "  divert help {word:<12} {about}");
    }
    text + "Exit codes: 0 good, 1 failed, 2 bad usage or input, 3 not connected.\n\
        Start with:\n  divert help asterisk\n  divert doctor"
}

/// # Errors
/// [`Failure::Input`] for what there is no page of.
pub fn run(args: &HelpArgs) -> anyhow::Result<()> {
    let terminal = Terminal::of_stdout();
    let Some(word) = args.words.first() else {
        return say(&command().render_long_help().to_string());
    };
    let normal = word.replace('_', "-");
    if let [_] = args.words.as_slice() {
        let is_meant = |page: &Page| {
            let one = page.word.strip_suffix('s').unwrap_or(&page.word);
            page.word == normal || one == normal || page.section.replace('_', "-") == normal
        };
        if let Some(page) = Page::all().into_iter().find(is_meant) {
            return say(&page.show(terminal));
        }
        if let Some(text) = TEXTS.iter().find(|text| text.word == normal) {
            return say(text.page);
        }
    }
    let mut named = command();
    for word in &args.words {
        let Some(found) = named.find_subcommand(word) else {
            return Err(unknown(word).into());
        };
        named = found.clone();
    }
    // The very text of --help.
    let typed = iter::once("divert").chain(args.words.iter().map(String::as_str));
    match command().try_get_matches_from(typed.chain(iter::once("--help"))) {
        Ok(_) => Ok(()),
        Err(help) => say(&help.to_string()),
    }
}

fn unknown(word: &str) -> Failure {
    let mut known: Vec<String> = Page::all().into_iter().map(|page| page.word).collect();
    known.extend(TEXTS.iter().map(|text| text.word.to_owned()));
    known.extend(command().get_subcommands().map(|it| it.get_name().to_owned()));
    let hint = match similar(word, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "divert help lists them".to_owned(),
    };
    Failure::Input(format!("there is no page about {:?}\n  = help: {hint}", plain(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Terminal = Terminal { colour: false, width: 80 };

    #[test]
    fn every_field_is_told_with_its_meaning() {
        for page in Page::all() {
            let text = page.show(PIPE);
            for field in &page.fields {
                let line = format!("\n  {}  ", field.name);
                assert!(text.contains(&line), "{} of {}: {text}", field.name, page.word);
                assert!(!field.doc().is_empty(), "{} of {}", field.name, page.word);
            }
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{text}");
        }
    }

    #[test]
    fn every_page_fits_a_terminal() {
        for Text { word, page: text, .. } in TEXTS {
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{word}");
        }
    }
}
