//! Reading settings out of a TOML file and the environment, without yet knowing what they mean; and
//! saying in which line something is wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::secret::{MASK, without_password};
use super::{ConfigError, Kind, SETTINGS, Setting, Source, Value};

/// Variables of the same prefix that are not settings: the command line's own, the container's and
/// the tests'.
const FOREIGN: [&str; 17] = [
    "DIVERT_AGI_PORT",
    "DIVERT_APP",
    "DIVERT_CONFIG",
    "DIVERT_ENTITY_ID",
    "DIVERT_ENTRY",
    "DIVERT_FALLBACK_DIAL",
    "DIVERT_HTTP_PORT",
    "DIVERT_IMAGE",
    "DIVERT_KEY",
    "DIVERT_PHONES_PORT",
    "DIVERT_RTP_END",
    "DIVERT_RTP_START",
    "DIVERT_SEED",
    "DIVERT_SERVER",
    "DIVERT_SIP_PORT",
    "DIVERT_TEST",
    "DIVERT_TEST_POSTGRES",
];

pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    let mut text = format!("error: cannot read the configuration file: {error}\n  --> {path}");
    if error.kind() == io::ErrorKind::NotFound {
        let _ = write!(text, "\n  = help: divert config sample {path}");
    }
    text + owner_hint(error)
}

/// Who may read a file, where that is the trouble.
pub(super) fn owner_hint(error: &io::Error) -> &'static str {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return "";
    }
    "\n  = help: run divert as the owner of the file; as a service, with the unit of 'divert print \
     systemd', which hands /etc/divert/divert.toml to its user"
}

pub(super) fn not_utf_8(path: &Path, fault: &str) -> ConfigError {
    let text =
        format!("error: cannot read the configuration file: {fault}\n  --> {}", path.display());
    ConfigError(vec![text])
}

pub(super) fn read_file(
    path: &Path,
    text: &str,
    values: &mut BTreeMap<&'static str, Value>,
    faults: &mut Vec<String>,
) {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let help = twice(text, &span, error.message());
            faults.push(framed(path, text, &span, error.message(), help));
            return;
        }
    };
    let mut keys = Vec::new();
    for (name, value) in table.get_ref() {
        if let DeValue::Table(section) = value.get_ref() {
            let known = SETTINGS.iter().any(|s| s.key.starts_with(&format!("{}.", name.get_ref())));
            if !known {
                let sections = SETTINGS.iter().filter_map(|s| Some(s.key.split_once('.')?.0));
                let hint = nearest(name.get_ref(), sections).map(|near| format!("[{near}]"));
                let message = format!("unknown section [{}]", name.get_ref());
                faults.push(framed(path, text, &name.span(), &message, did_you_mean(hint)));
                continue;
            }
            for (key, value) in section {
                let full = format!("{}.{}", name.get_ref(), key.get_ref());
                keys.push((full, key.span(), value));
            }
        } else {
            keys.push((name.get_ref().to_string(), name.span(), value));
        }
    }
    for (key, span, value) in keys {
        let Some(setting) = SETTINGS.iter().find(|s| s.key == key) else {
            let hint = nearest(&key, SETTINGS.iter().map(|s| s.key)).map(str::to_owned);
            let message = format!("unknown key `{key}`");
            faults.push(framed(path, text, &span, &message, did_you_mean(hint)));
            continue;
        };
        let wrong = match (setting.kind, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(flag)) => Ok(flag.to_string()),
            (Kind::Flag, _) => Err("must be true or false"),
            (_, DeValue::String(text)) => Ok(text.to_string()),
            (_, _) => Err("must be text in quotes"),
        };
        match wrong {
            Ok(text_value) => {
                let line = line_of(text, value.span().start);
                let source = Source::File { path: path.to_owned(), line };
                let value = Value { text: text_value, source, span: Some(value.span()) };
                values.insert(setting.key, value);
            }
            Err(wrong) => {
                let message = format!("`{key}` {wrong}");
                faults.push(framed(path, text, &value.span(), &message, None));
            }
        }
    }
}

/// What to do with a section or key that stands there twice, as what was copied to the end of a file
/// does.
fn twice(text: &str, span: &Range<usize>, message: &str) -> Option<String> {
    if message != "duplicate key" {
        return None;
    }
    let name = text.get(span.clone())?;
    let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let is_section = |line: &str| line.trim_start().starts_with('[');
    let this_is_one = is_section(&text[begin..]);
    let is_first = |line: &str| {
        let key = line.trim_start_matches([' ', '\t', '[']).split(['=', ']']).next();
        is_section(line) == this_is_one && key.is_some_and(|key| key.trim() == name)
    };
    let first = text[..begin].lines().enumerate().filter(|(_, line)| is_first(line)).last();
    let first = first.map_or_else(String::new, |(at, _)| format!(" in line {}", at + 1));
    Some(if this_is_one {
        format!("[{name}] stands{first} already: put there what is below this one")
    } else {
        format!("{name} stands{first} already: keep one of the two")
    })
}

pub(super) fn read_variables(
    variables: &[(String, String)],
    values: &mut BTreeMap<&'static str, Value>,
    faults: &mut Vec<String>,
) {
    for (name, text) in variables {
        if let Some(setting) = SETTINGS.iter().find(|s| s.variable() == *name) {
            let source = Source::Variable(name.clone());
            values.insert(setting.key, Value { text: text.clone(), source, span: None });
        } else if let Some(near) = mistyped(name) {
            faults.push(format!(
                "error: unknown environment variable {name}\n  = help: did you mean {near}?"
            ));
        }
    }
}

/// The variable that was probably meant, if this one looks like one of ours.
fn mistyped(name: &str) -> Option<String> {
    let ours = name.starts_with("DIVERT_") && !FOREIGN.contains(&name);
    let of_a_test = name.starts_with("DIVERT_TEST_") && !name.starts_with("DIVERT_TEST_CALLS_");
    if !ours || of_a_test {
        return None;
    }
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let close = nearest(name, known.iter().map(String::as_str));
    let in_section = || {
        let section = SETTINGS.iter().find(|s| {
            let section = s.key.split_once('.').map_or(s.key, |(section, _)| section);
            name.starts_with(&format!("DIVERT_{}", section.to_uppercase()))
        })?;
        Some(section.variable())
    };
    close.map(str::to_owned).or_else(in_section)
}

/// The nearest of the known words, unless it is too far to be what was meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .min()
        .filter(|(distance, _)| *distance <= (word.len() / 3).min(4))
        .map(|(_, known)| known)
}

fn did_you_mean(near: Option<String>) -> Option<String> {
    near.map(|near| format!("did you mean `{near}`?"))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// A line of the file as it may be shown: whole where it opens a section or gives one setting that is
/// no password, otherwise as far as its key. What is mistyped may hold a password anywhere.
fn shown(line: &str) -> String {
    let content = line.trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if content.is_empty() || name.is_some_and(|name| name.chars().all(is_bare)) {
        return line.to_owned();
    }
    let indent = &line[..line.len() - line.trim_start().len()];
    let key = &content[..content.find(|c| !is_bare(c)).unwrap_or(content.len())];
    if let Some(setting) = SETTINGS.iter().find(|s| last(s.key) == key)
        && let Some(value) = alone(content, setting)
    {
        return format!("{indent}{value}");
    }
    let names = SETTINGS.iter().flat_map(|s| s.key.split('.'));
    if nearest(last(key), names).is_none() {
        return format!("{indent}{MASK}");
    }
    let is_between = |c: char| " \t=:".contains(c);
    let end =
        content[key.len()..].find(|c| !is_between(c)).map_or(content.len(), |at| key.len() + at);
    let mask = if end < content.len() { MASK } else { "" };
    format!("{indent}{}{mask}", &content[..end])
}

/// The line without its comment, if it gives this setting and nothing else.
fn alone(line: &str, setting: &Setting) -> Option<String> {
    if setting.kind == Kind::Secret {
        return None;
    }
    let table = DeTable::parse(line).ok()?;
    let (_, value) = table.get_ref().iter().next()?;
    let span = value.span();
    match value.get_ref() {
        DeValue::String(text) => {
            let masked = without_password(text);
            let is_same = masked == **text;
            let value = if is_same { line[span.clone()].to_owned() } else { format!("{masked:?}") };
            Some(format!("{}{value}", &line[..span.start]))
        }
        DeValue::Boolean(_) | DeValue::Integer(_) | DeValue::Float(_) => {
            Some(line[..span.end].to_owned())
        }
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// The name of a setting without its section.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// A message with its line of the file and a caret under the place.
pub(super) fn framed(
    path: &Path,
    text: &str,
    span: &Range<usize>,
    message: &str,
    help: Option<String>,
) -> String {
    let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let start = start.unwrap_or(0);
    let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line = shown(text[begin..].lines().next().unwrap_or(""));
    let no = line_of(text, start).to_string();
    let column = text[begin..start].chars().count();
    // Under what is not shown there is one mark, at its beginning.
    let indent = line.find(MASK).map_or(column, |at| column.min(line[..at].chars().count()));
    let rest = line.chars().count().saturating_sub(indent).max(1);
    let wide = text.get(start..span.end).map_or(1, |part| part.chars().count()).clamp(1, rest);
    let pad = " ".repeat(no.len());
    let mut frame = format!(
        "error: {message}\n{pad}--> {}:{no}:{}\n{pad} |\n{no} | {line}\n{pad} | {}{}",
        path.display(),
        column + 1,
        " ".repeat(indent),
        "^".repeat(wide),
    );
    if let Some(help) = help {
        let _ = write!(frame, "\n{pad} = help: {help}");
    }
    frame
}
