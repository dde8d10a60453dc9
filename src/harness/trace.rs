//! What the channels of one call told divert, without ids and moments: the same scenario must leave
//! the same trace on the simulator and on Asterisk.
//!
//! Each channel is a track of its own, because only the order on one channel is the same every
//! time. Timers and decisions are no matter of Asterisk's and are left out.

use std::collections::BTreeMap;

use crate::engine::journal::JournalEntry;
use crate::engine::{ChannelEvent, Input};
use crate::model::id::LegId;

/// The words of each channel: 0 is the caller, the others are legs by their number.
pub type Trace = BTreeMap<u16, Vec<String>>;

/// The trace of a journal. What is told twice counts once, and nothing counts after the end of a
/// channel: what comes then is an echo.
#[must_use]
pub fn trace(journal: &[JournalEntry]) -> Trace {
    let mut trace = Trace::new();
    for entry in journal {
        let (track, word) = match &entry.input {
            Input::Arrived(_) => (LegId::CALLER, "arrived".to_owned()),
            Input::Call { .. } => continue,
            Input::Channel { channel, event } => {
                let track = LegId::of_channel(channel).map_or(LegId::CALLER, |leg| leg.no);
                (track, word(track, event))
            }
        };
        let words = trace.entry(track).or_default();
        let is_over = words.iter().any(|word| word.starts_with("gone"));
        if !is_over && !words.contains(&word) {
            words.push(word);
        }
    }
    trace
}

fn word(track: u16, event: &ChannelEvent) -> String {
    match event {
        ChannelEvent::Answered { .. } => "up unheard".to_owned(),
        ChannelEvent::CommandFailed { command, .. } => format!("{command:?} failed"),
        // Why a caller went is not told by the event that says so.
        ChannelEvent::Gone { .. } if track == LegId::CALLER => "gone".to_owned(),
        ChannelEvent::Missing { .. } => "gone unheard".to_owned(),
        ChannelEvent::Gone { cause, sip_code, state } => {
            let cause = cause.map_or_else(|| "-".to_owned(), |cause| cause.to_string());
            let sip = sip_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
            format!("gone {cause}/{sip} {state:?}").to_lowercase()
        }
        ChannelEvent::Ready => "ready".to_owned(),
        ChannelEvent::Ringing => "ringing".to_owned(),
        ChannelEvent::Up => "up".to_owned(),
    }
}
