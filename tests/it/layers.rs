//! The picture in `src/lib.rs`, held against the code: which module may use which, and what the
//! pure ones may not touch. It reads the sources as text; comments and literals do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module with those it may use, from the bottom up: each row names rows above it only, so
/// that there can be no circle.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("yaml", &["model"]),
    ("routing", &["model"]),
    ("engine", &["model", "routing"]),
    ("store", &["model"]),
    ("ari", &["clock", "engine", "model"]),
    ("api", &["clock", "model", "routing", "store"]),
    ("config", &["model"]),
    ("telemetry", &["clock", "config", "model"]),
    ("harness", &["api", "clock", "engine", "model", "routing", "yaml"]),
    ("node", &["api", "ari", "clock", "config", "engine", "harness", "model", "routing", "store"]),
    (
        "cli",
        &[
            "api",
            "ari",
            "clock",
            "config",
            "engine",
            "harness",
            "model",
            "node",
            "routing",
            "store",
            "telemetry",
            "yaml",
        ],
    ),
];

/// Decide over what they are handed, and nothing else.
const PURE: [&str; 3] = ["engine", "model", "routing"];

/// Time, chance, waiting, the world outside, and maps whose order changes from run to run.
const IMPURE: [&str; 12] = [
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "async",
    "await",
    "env",
    "fs",
    "net",
    "rand",
    "thread",
    "tokio",
];

/// Where a word is allowed all the same, and why.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("routing/index.rs", "HashMap", "it only finds by key: no order of it can be seen"),
    ("routing/rate.rs", "Instant", "what governor calls the times of a clock; ours is handed in"),
];

#[test]
fn modules_use_only_what_the_picture_allows() {
    let known: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        let allowed = known.get(module.as_str()).unwrap_or_else(|| panic!("{module} is no row"));
        for used in uses(&code, depth(&path)) {
            if known.contains_key(used.as_str())
                && used != module
                && !allowed.contains(&used.as_str())
            {
                wrong.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_picture_names_every_module_and_has_no_circle() {
    let lib = fs::read_to_string(root().join("lib.rs")).unwrap();
    let declared: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rows: BTreeSet<&str> = ALLOWED.iter().map(|(module, _)| *module).collect();
    assert_eq!(rows, declared);
    let mut above = BTreeSet::new();
    for (module, allowed) in ALLOWED {
        let below: Vec<_> = allowed.iter().filter(|used| !above.contains(*used)).collect();
        assert!(below.is_empty(), "{module} may use {below:?}, which stand below it");
        above.insert(*module);
    }
}

#[test]
fn what_decides_is_pure() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        if PURE.contains(&module.as_str()) {
            let is_excepted = |word: &str| {
                EXCEPTIONS.iter().any(|(file, known, _)| path.ends_with(file) && *known == word)
            };
            let found = words(&code).filter(|word| IMPURE.contains(word) && !is_excepted(word));
            wrong.extend(found.map(|word| format!("{}: {word}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_sources_sees_uses_and_not_comments() {
    let found = |text: &str, depth| uses(&code_of(text), depth).into_iter().collect::<Vec<_>>();
    assert_eq!(found("use crate::store::Db; // crate::node\n", 1), ["store"]);
    assert_eq!(found("use crate::{ari, node::{run, api}};", 1), ["ari", "node"]);
    assert_eq!(found("fn f() -> crate::api::Key { \"crate::cli\" }", 1), ["api"]);
    assert_eq!(found("let a = '\"'; use crate::cli; let b = '\\'';", 1), ["cli"]);
    assert_eq!(found("const A: &str = r#\"a\"crate::ari\"#; /* crate::api */", 1), [""; 0]);
    // From a root file `super` is the crate itself, from a deeper one it is not.
    assert_eq!(found("use super::store;", 1), ["store"]);
    assert_eq!(found("use super::store;", 2), [""; 0]);
    assert_eq!(found("use super::super::store;", 2), ["store"]);
    assert!(words(&code_of("x.await; // fs\n")).any(|word| word == "await"));
    assert!(!words(&code_of("x.await; // fs\n")).any(|word| word == "fs"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Module, path below `src`, code.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root()).unwrap().to_owned();
                let first = below.components().next().unwrap();
                let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs");
                if !["lib", "main"].contains(&module) {
                    let code = code_of(&fs::read_to_string(&path).unwrap());
                    found.push((module.to_owned(), below, code));
                }
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// How many `super` lead from the top of a file to the crate's root.
fn depth(path: &Path) -> usize {
    path.components().count() - usize::from(path.ends_with("mod.rs"))
}

/// The first word of every path that starts at the crate's root.
fn uses(code: &str, depth: usize) -> BTreeSet<String> {
    let up = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for start in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            // `self::super::` is not written; a longer chain of `super` ends elsewhere.
            if before.ends_with("super::") || before.ends_with(is_word) {
                continue;
            }
            found.extend(heads(&code[at + start.len()..]));
        }
    }
    found
}

/// `a` of `a::b`; `a` and `c` of `{a::{b}, c}`.
fn heads(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![path.chars().take_while(|c| is_word(*c)).collect()];
    };
    let mut level = 0_usize;
    let mut found = vec![String::new()];
    let mut is_head = true;
    for c in group.chars() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => {
                found.push(String::new());
                is_head = true;
            }
            c if is_word(c) && is_head && level == 0 => {
                if let Some(last) = found.last_mut() {
                    last.push(c);
                }
            }
            c if c.is_whitespace() => {}
            _ => is_head = false,
        }
    }
    found
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Rust without comments and without what stands in literals.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = code.ends_with(is_word);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_literal(rest).filter(|_| !after_word) {
            raw
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// The length of a raw string literal that starts here.
fn raw_literal(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.chars().take_while(|c| *c == '#').count();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end)? + end.len();
    Some(text.len() - inner.len() + length)
}

/// The length of a literal in these quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = true; // steps over the opening quote
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal, and no lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (_, end) => end == Some('\''),
    }
}
