//! What is wrong with a configuration: where, what, and what to type instead.

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
