//! The journal of a call: each input with the commands it led to. Enough to run the call again.

use serde::{Deserialize, Serialize};

use super::{Command, Engine, Input};
use crate::model::time::Timestamp;

/// One input and what came of it outside: rows and timeline are left out, since they only tell of
/// the rest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct JournalEntry {
    pub at: Timestamp,
    pub input: Input,
    pub commands: Vec<Command>,
}

/// Where a replayed journal first differs from what was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Position of the entry, from 0.
    pub entry: usize,
    pub recorded: Vec<Command>,
    pub replayed: Vec<Command>,
}

/// Runs a journal through a fresh engine.
///
/// # Errors
/// The first entry whose commands are not the recorded ones: the engine has changed since, or the
/// journal has a hole.
pub fn replay(journal: &[JournalEntry]) -> Result<Engine, Box<Difference>> {
    let mut engine = Engine::default();
    for (at, entry) in journal.iter().enumerate() {
        let mut replayed = feed(&mut engine, entry);
        replayed.retain(Command::is_effect);
        let recorded: Vec<Command> =
            entry.commands.iter().filter(|command| command.is_effect()).cloned().collect();
        if replayed != recorded {
            return Err(Box::new(Difference { entry: at, recorded, replayed }));
        }
    }
    Ok(engine)
}

/// Takes a call over from its journal, whatever commands are recorded: the engine may be a newer one
/// than the one that wrote it. Gives the commands without an effect outside: the process that wrote
/// the journal may have died before what they tell was kept.
pub fn restore(engine: &mut Engine, journal: &[JournalEntry]) -> Vec<Command> {
    let commands = journal.iter().flat_map(|entry| feed(engine, entry));
    commands.filter(|command| !command.is_effect()).collect()
}

fn feed(engine: &mut Engine, entry: &JournalEntry) -> Vec<Command> {
    engine.handle(entry.at, entry.input.clone());
    std::iter::from_fn(|| engine.poll_command()).map(|(_, command)| command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Arrival, CallEvent};
    use crate::model::id::{BridgeId, CallId, ChannelId};
    use crate::model::number::Caller;
    use crate::model::objects::account::DEFAULT_ACCOUNT;

    /// Of a call that goes straight back to the dialplan.
    fn journal() -> Vec<JournalEntry> {
        let call = CallId::new(1);
        let arrival = Arrival {
            call,
            account: DEFAULT_ACCOUNT,
            channel: ChannelId("1.1".into()),
            did: "100".parse().unwrap(),
            alike: None,
            caller: Caller::default(),
            caller_key: None,
            session: call,
            repeat: None,
            counts_as_visit: false,
            is_test: false,
            is_up: false,
            is_found: false,
            bridge: BridgeId("b".into()),
            route: None,
        };
        let end = Input::Call { call, event: CallEvent::EndRequested };
        let mut engine = Engine::default();
        let inputs = [Input::Arrived(Box::new(arrival)), end];
        let entries = inputs.into_iter().map(|input| {
            let mut entry = JournalEntry { at: Timestamp(0), input, commands: Vec::new() };
            entry.commands = feed(&mut engine, &entry);
            entry
        });
        entries.collect()
    }

    #[test]
    fn the_first_entry_that_is_no_longer_done_so_is_told_whatever_rows_say() {
        let mut journal = journal();
        assert_eq!(replay(&journal).unwrap().calls().count(), 1);
        for entry in &mut journal {
            entry.commands.retain(Command::is_effect);
        }
        assert!(replay(&journal).is_ok(), "rows and timeline are not compared");
        let recorded = std::mem::take(&mut journal[1].commands);
        assert!(matches!(recorded[..], [Command::HangUp { .. }]), "{recorded:?}");
        let difference = replay(&journal).unwrap_err();
        assert_eq!((difference.entry, &difference.recorded), (1, &Vec::new()));
        assert_eq!(difference.replayed, recorded);
    }
}
