//! Callers who come again: to whom they go, and what happens when they come too often.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use super::id::DestinationId;
use super::object::{Fields, Int, Names, Reader, Shape, choices, find, record, without_nulls};
use super::problem::similar;

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

record! {
    /// What happens to a caller who has called the flow `calls` times within `within_sec`.
    #[derive(Copy, Deserialize, Serialize)]
    pub struct RepeatRule {
        /// Calls before this one.
        calls: Int<u32, 1, 100> => "type how many calls before this one make a repeated caller",
        /// Up to and with so many seconds ago, at most 31 days.
        within_sec: Int<u32, 1, 2_678_400>
            => "type how far back calls count, in seconds, as 3600",
        /// Which earlier calls count.
        count: RepeatCount = RepeatCount::default(),
        /// `"different"`, `"reject"`, `"tag"`, or `{"destination": <name>}`.
        then: RepeatAction
            => "type different, reject, tag, or {destination: one of this flow's}",
    }
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

choices! { RepeatCount StickyOn }

const A_STICKINESS: &str = "type never, same_day, or {rolling_sec: 86400}";
const A_THEN: &str = "type different, reject, tag, or {destination: one of this flow's}";
/// A destination of the flow whose rule it is.
pub(super) const OWN_DESTINATION: &str = "destination of this flow";

impl Stickiness {
    const KEYS: [&str; 6] = ["beats_priority", "on", "rebind", "rolling_sec", "sliding", "window"];

    fn with(window: StickyWindow) -> Self {
        Self { window, ..Self::default() }
    }
}

/// One word, or a mapping.
impl Shape for Stickiness {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value {
            Value::String(word) => match read_window(word) {
                Ok(window) => return Some(Self::with(window)),
                Err(hint) => {
                    let message = format!("{word:?} is not a choice here");
                    reader.fault(pointer, "invalid", message, hint);
                    return None;
                }
            },
            Value::Object(_) => {}
            other => {
                let message = format!("{other} does not say how long a caller stays");
                reader.fault(pointer, "wrong_type", message, A_STICKINESS);
                return None;
            }
        }
        let mut fields = Fields::open(value, pointer, &Self::KEYS, reader)?;
        let sec = fields.read::<Int<u32, 60, 31_536_000>>("rolling_sec");
        let sliding = fields.read::<bool>("sliding").unwrap_or(true);
        let mut window = StickyWindow::Never;
        if fields.has("rolling_sec") {
            let hint =
                "keep window: same_day for the calendar's day, rolling_sec for a length of time";
            fields.refuse("window", "window and rolling_sec exclude each other", hint);
            if let Some(sec) = sec {
                window = StickyWindow::Rolling { sec, sliding };
            }
        } else {
            match fields.value("window") {
                None => fields.missing("window", A_STICKINESS),
                Some(typed) => {
                    let at = fields.at("window");
                    if let Some(word) = fields.reader.text(typed, &at) {
                        match read_window(&word) {
                            Ok(read) => window = read,
                            Err(hint) => {
                                let message = format!("{word:?} is not a choice here");
                                fields.wrong("window", "invalid", message, hint);
                            }
                        }
                    }
                }
            }
            let hint = "leave it out, or type rolling_sec: and a number of seconds";
            fields.refuse("sliding", "only a rolling window can slide", hint);
        }
        let default = Self::default();
        Some(Self {
            window,
            on: fields.read::<StickyOn>("on").unwrap_or_default(),
            rebind: fields.read::<bool>("rebind").unwrap_or(default.rebind),
            beats_priority: fields.read::<bool>("beats_priority").unwrap_or(default.beats_priority),
        })
    }

    /// One word where that says it all.
    fn write(value: &Self, _: &dyn Names) -> Value {
        let Self { window, on, rebind, beats_priority } = *value;
        let word = match window {
            StickyWindow::Never => Some("never"),
            StickyWindow::SameDay => Some("same_day"),
            StickyWindow::Rolling { .. } => None,
        };
        let (rolling_sec, sliding) = match window {
            StickyWindow::Rolling { sec, sliding } => (Some(sec), Some(sliding)),
            StickyWindow::Never | StickyWindow::SameDay => (None, None),
        };
        match word {
            Some(word) if *value == Self::with(window) => json!(word),
            word => without_nulls(json!({
                "window": word,
                "rolling_sec": rolling_sec,
                "sliding": sliding,
                "on": on,
                "rebind": rebind,
                "beats_priority": beats_priority,
            })),
        }
    }

    fn schema() -> Value {
        let flag = json!({ "type": ["boolean", "null"] });
        let on = json!({ "type": ["string", "null"], "enum": ["answered", "offered", null] });
        json!({ "oneOf": [
            { "enum": ["never", "same_day"] },
            {
                "type": "object", "additionalProperties": false, "required": ["window"],
                "properties": {
                    "window": { "enum": ["never", "same_day"] },
                    "on": on, "rebind": flag, "beats_priority": flag,
                },
            },
            {
                "type": "object", "additionalProperties": false, "required": ["rolling_sec"],
                "properties": {
                    "rolling_sec": { "type": "integer", "minimum": 60, "maximum": 31_536_000 },
                    "sliding": flag, "on": on, "rebind": flag, "beats_priority": flag,
                },
            },
        ] })
    }
}

/// A window that is one word; else what to type.
fn read_window(word: &str) -> Result<StickyWindow, String> {
    match word {
        "never" => Ok(StickyWindow::Never),
        "same_day" => Ok(StickyWindow::SameDay),
        other => Err(match similar(other, ["never", "same_day", "rolling_sec"]) {
            Some("rolling_sec") | None => A_STICKINESS.to_owned(),
            Some(meant) => format!("did you mean {meant}?"),
        }),
    }
}

impl Shape for RepeatAction {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        if value.is_object() {
            let mut then = Fields::open(value, pointer, &["destination"], reader)?;
            let Some(typed) = then.value("destination") else {
                let hint = "type the name of one of this flow's destinations";
                then.missing("destination", hint);
                return None;
            };
            let at = then.at("destination");
            return find(typed, &at, OWN_DESTINATION, reader).map(Self::Destination);
        }
        let typed = reader.text(value, pointer)?;
        match typed.as_str() {
            "different" => return Some(Self::Different),
            "reject" => return Some(Self::Reject),
            "tag" => return Some(Self::Tag),
            "skip_screening" => {
                let message =
                    "no destination screens its callers yet, so that nothing can be skipped";
                reader.fault(pointer, "not_allowed", message, A_THEN);
            }
            other => {
                let own = reader.roster(<DestinationId as super::id::Id>::PREFIX);
                let hint = match similar(other, ["different", "reject", "tag"]) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None if own.find(other).is_some() => {
                        format!("type {{destination: {other:?}}}")
                    }
                    None => A_THEN.to_owned(),
                };
                let message = format!("{other:?} is not a choice here");
                reader.fault(pointer, "invalid", message, hint);
            }
        }
        None
    }

    /// The destination by its name.
    fn write(value: &Self, names: &dyn Names) -> Value {
        match *value {
            Self::Destination(id) => {
                let name = names.name(id.into()).unwrap_or_else(|| id.to_string());
                json!({ "destination": name })
            }
            Self::Different | Self::Reject | Self::Tag => json!(value),
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [
            { "enum": ["different", "reject", "tag"] },
            {
                "type": "object", "additionalProperties": false, "required": ["destination"],
                "properties": { "destination": { "type": "string" } },
            },
        ] })
    }
}
