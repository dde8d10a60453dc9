//! Commands that only tell of a call: as rows for the store, as lines of the log, as figures.

use tracing::info;

use crate::engine::Command;
use crate::model::call::CallRecord;
use crate::model::id::{AccountId, CallId};
use crate::store::Record;

/// The row that keeps what `command` tells.
pub(super) fn row(account: AccountId, call: CallId, command: Command) -> Option<Record> {
    match command {
        Command::Bill(cdr) => Some(Record::Cdr(*cdr)),
        Command::Note(entry) => Some(Record::Step { account, call, entry }),
        Command::Save(record) => Some(Record::Call(*record)),
        Command::SaveLeg(leg) => Some(Record::Leg { account, leg: *leg }),
        _ => None,
    }
}

/// Tells it to who watches the log and the figures.
pub(super) fn tell(call: CallId, command: &Command) {
    match command {
        Command::Note(entry) => {
            info!(call.id = %call, "{}: {}", entry.step.title(), entry.step.sentence());
        }
        Command::Save(record) => count(record),
        _ => {}
    }
}

/// Counts a call that is over; tests are counted apart, so that no figure of theirs is mixed in.
pub(super) fn count(record: &CallRecord) {
    if let Some(result) = record.result {
        let is_test = if record.is_test { "yes" } else { "no" };
        metrics::counter!("divert_calls_total", "result" => result.to_string(), "test" => is_test)
            .increment(1);
    }
}
