//! Callers who come again: to whom they go, and what happens when they come too often.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::DestinationId;

/// Whether a returning caller goes to the destination of the last time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stickiness {
    pub window: StickyWindow,
    pub on: StickyOn,
    /// Another destination that takes the call becomes the caller's own.
    pub rebind: bool,
    /// Also when a destination of a lower priority number could take the call.
    pub beats_priority: bool,
}

impl Default for Stickiness {
    fn default() -> Self {
        Self {
            window: StickyWindow::Never,
            on: StickyOn::Answered,
            rebind: true,
            beats_priority: false,
        }
    }
}

/// How long a caller stays with a destination.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyWindow {
    #[default]
    Never,
    /// While the flow's zone has the same date as when it began.
    SameDay,
    /// Up to and with `sec` seconds; `sliding` counts from the last call, otherwise from the first.
    Rolling { sec: u32, sliding: bool },
}

/// What makes a caller a destination's own.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StickyOn {
    #[default]
    Answered,
    Offered,
}

/// What happens to a caller who has called a flow `calls` times within `within_sec`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RepeatRule {
    /// Calls before this one, 1 to 100.
    pub calls: u32,
    /// Up to and with so many seconds ago, 1 to 2678400 (31 days).
    pub within_sec: u32,
    pub count: RepeatCount,
    pub then: RepeatAction,
}

/// Which earlier calls count.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RepeatCount {
    Answered,
    #[default]
    Any,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatAction {
    /// To this one of the flow's destinations if it can take the call, else as usual.
    Destination(DestinationId),
    /// Not to the destination of the last time while another can take the call.
    Different,
    /// The caller hears busy.
    Reject,
    /// As usual, with a mark in the log.
    Tag,
}
