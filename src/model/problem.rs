//! What is wrong with a configuration: where, what, and what to type instead.

use std::fmt::Write as _;

use serde::Serialize;

/// One fault in what somebody typed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into what was sent: `/forwarding_flows/0/destinations/2/weight`.
    pub pointer: String,
    /// Line in the document, from 1, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Stable word for programs: `unknown_key`, `out_of_range`, `taken`, `dangling`, …
    pub code: &'static str,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to type instead.
    pub hint: String,
}

impl Problem {
    /// A problem whose line is not known, or not known yet.
    #[must_use]
    pub fn new(
        pointer: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            line: None,
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// A problem as one line for a terminal, in the form editors jump to:
/// `deploy.yaml:12: forwarding_flows[0].destinations[2].weight: 1001 is out of range; type …`.
#[must_use]
pub fn render(problem: &Problem, file: &str) -> String {
    let mut text = file.to_owned();
    if let Some(line) = problem.line {
        let _ = write!(text, ":{line}");
    }
    let path = path(&problem.pointer);
    if !path.is_empty() {
        let _ = write!(text, ": {path}");
    }
    let _ = write!(text, ": {}", problem.message);
    if !problem.hint.is_empty() {
        let _ = write!(text, "; {}", problem.hint);
    }
    text
}

/// A JSON pointer as people write it: `forwarding_flows[0].destinations[2].weight`.
#[must_use]
pub fn path(pointer: &str) -> String {
    let mut text = String::new();
    for token in pointer.split('/').skip(1) {
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(text, "[{token}]");
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&token.replace("~1", "/").replace("~0", "~"));
        }
    }
    text
}

/// One step of a JSON pointer: `~` and `/` escaped.
#[must_use]
pub fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The one of `known` that `typed` was probably meant to be, whatever its case and separators.
#[must_use]
pub fn similar<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let typed = plain(typed);
    let allowed = (typed.len() / 3).clamp(1, 3);
    // Half of a compound word is as good as a misspelling, after all misspellings.
    let part = |known: &[char]| typed.len() >= 4 && known.windows(typed.len()).any(|w| w == typed);
    known
        .into_iter()
        .filter_map(|word| {
            let known = plain(word);
            let distance = edits(&typed, &known);
            (distance <= allowed || part(&known)).then_some((distance, word))
        })
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn edits(from: &[char], to: &[char]) -> usize {
    // Names are short, keys shorter; a huge text is no misspelling of any.
    if from.len().abs_diff(to.len()) > 3 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, &a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &b) in to.iter().enumerate() {
            let changed = row[j] + usize::from(a != b);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a == to[j - 1] && from[i - 1] == b {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = row;
        row = next;
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_line() {
        let mut problem = Problem::new(
            "/forwarding_flows/0/destinations/2/weight",
            "out_of_range",
            "1001 is out of range",
            "type a number from 0 to 1000",
        );
        assert_eq!(
            render(&problem, "deploy.yaml"),
            "deploy.yaml: forwarding_flows[0].destinations[2].weight: 1001 is out of range; \
             type a number from 0 to 1000"
        );
        problem.line = Some(12);
        assert!(render(&problem, "deploy.yaml").starts_with("deploy.yaml:12: forwarding_flows[0]"));
        let whole = Problem::new("", "syntax", "it is empty", "");
        assert_eq!(render(&whole, "-"), "-: it is empty");
        assert_eq!(path("/a~1b/0/c~0d"), "a/b[0].c~d");
    }

    #[test]
    fn misspellings_find_their_word() {
        let known = ["weight", "priority", "max_live", "name"];
        assert_eq!(similar("wieght", known), Some("weight"));
        assert_eq!(similar("maxLive", known), Some("max_live"));
        assert_eq!(similar("max-lives", known), Some("max_live"));
        assert_eq!(similar("prio", known), Some("priority"));
        assert_eq!(similar("colour", known), None);
        assert_eq!(similar("x", known), None);
    }
}
