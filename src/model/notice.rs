//! What went wrong lately, for who looks after divert: warnings and errors of its log, each once.

use serde::Serialize;
use strum::Display;

use super::time::Timestamp;

/// A line of the log that is worth a look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    pub level: NoticeLevel,
    /// With the fields of the line behind it, in plain words.
    pub text: String,
    /// When it was written first, and last.
    pub first_at: Timestamp,
    pub at: Timestamp,
    /// How often.
    pub times: u32,
}

#[derive(Clone, Copy, Debug, Display, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NoticeLevel {
    Error,
    Warning,
}
