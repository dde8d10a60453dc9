//! Whether a new call may be taken, so that too many of them never harm those in progress. Pure.
//!
//! Two figures tell how far Asterisk and we are behind: the lag of its events, and our commands it
//! has not carried out yet. Above a bound a new call goes back to the dialplan at once. Since even
//! that costs Asterisk a third of a call, the dialplan is told which part of the calls it should not
//! give us at all ([`Load::tick`]): the part that had to be sent back of late.
//!
//! Asterisk stamps events by its own clock, which may be wrong or jump. So the lag is what an event
//! took longer than the quickest of the last seconds: a wrong clock cancels out.

use crate::model::time::Timestamp;

/// Events later than this tell of a queue somewhere …
const MAX_LAG_MS: i64 = 150;
/// … and so do more commands than this: Asterisk carries out some thousand each second.
const MAX_COMMANDS: usize = 150;
/// How long the quickest event counts: for this long at least, and twice as long at most.
const WINDOW_MS: i64 = 10_000;
/// By which part the share kept outside shrinks with every tick without need.
const RELIEF: u32 = 16;
/// Some calls are always let in: or nobody would notice that it is over.
const MAX_SHARE: u32 = 95;

#[derive(Debug, Default)]
pub struct Load {
    /// When the window began, its quickest event, and that of the window before.
    window: Option<(Timestamp, i64, i64)>,
    lag_ms: i64,
    /// Since the last tick.
    arrived: u32,
    refused: u32,
    /// Percent of the calls which the dialplan keeps from us.
    share: u32,
}

impl Load {
    /// An event came out of the queue.
    pub fn heard(&mut self, sent_at: Timestamp, now: Timestamp) {
        // Negative where Asterisk's clock is ahead.
        let took = now.0.saturating_sub(sent_at.0);
        let (began, this, last) = match self.window {
            None => (now, took, took),
            Some((began, this, _)) if now.since_ms(began) >= WINDOW_MS => (now, took, this),
            Some((began, this, last)) => (began, this.min(took), last),
        };
        self.window = Some((began, this, last));
        self.lag_ms = took - this.min(last);
    }

    /// One of the two clocks was set: what was quick by them is not known any more.
    pub fn clock_set(&mut self) {
        (self.window, self.lag_ms) = (None, 0);
    }

    /// Whether a call that has just come may be taken, with so many commands still to be done.
    pub fn admits(&mut self, commands: usize) -> bool {
        let admits = self.lag_ms < MAX_LAG_MS && commands < MAX_COMMANDS;
        self.arrived += 1;
        self.refused += u32::from(!admits);
        admits
    }

    /// How many milliseconds the last event was late.
    #[must_use]
    pub fn lag_ms(&self) -> i64 {
        self.lag_ms
    }

    /// What the last tick said.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.share
    }

    /// Some times a second: how many percent of the calls should stay in the dialplan.
    pub fn tick(&mut self) -> u32 {
        let (arrived, refused) =
            (std::mem::take(&mut self.arrived), std::mem::take(&mut self.refused));
        if refused > 0 {
            // Of those let in, so many were too many.
            self.share += (100 - self.share) * refused / arrived;
            self.share = self.share.min(MAX_SHARE);
        } else {
            self.share -= self.share.div_ceil(RELIEF);
        }
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(load: &mut Load, sent_at: i64, now: i64) -> i64 {
        load.heard(Timestamp(sent_at), Timestamp(now));
        load.lag_ms()
    }

    #[test]
    fn late_events_and_many_commands_turn_calls_away() {
        let mut load = Load::default();
        assert!(load.admits(0), "before any event");
        assert_eq!(heard(&mut load, 0, 2), 0);
        assert!(load.admits(MAX_COMMANDS - 1));
        assert!(!load.admits(MAX_COMMANDS));
        assert_eq!(heard(&mut load, 100, 102 + MAX_LAG_MS - 1), MAX_LAG_MS - 1);
        assert!(load.admits(0));
        assert_eq!(heard(&mut load, 200, 202 + MAX_LAG_MS), MAX_LAG_MS);
        assert!(!load.admits(0));
        assert_eq!(heard(&mut load, 400, 403), 1);
        assert!(load.admits(0), "at once, when it is over");
    }

    #[test]
    fn a_wrong_clock_is_no_lag_and_one_that_jumps_is_none_for_long() {
        for wrong in [-3_600_000, 3_600_000] {
            let mut load = Load::default();
            for now in (0..60_000).step_by(100) {
                assert_eq!(heard(&mut load, now + wrong, now + 3), 0);
            }
            // Asterisk's clock is set back by a minute: all events look late, until it is believed.
            let late = |now: i64| now + wrong - 60_000;
            assert!(heard(&mut load, late(60_000), 60_000) >= 60_000 - 3);
            for now in (60_000..60_000 + 2 * WINDOW_MS).step_by(100) {
                heard(&mut load, late(now), now + 3);
            }
            let now = 60_000 + 2 * WINDOW_MS;
            assert_eq!(heard(&mut load, late(now), now + 3), 0);
            // And forward: nothing looks late.
            assert_eq!(heard(&mut load, now + wrong + 60_000, now + 3), 0);
        }
    }

    #[test]
    fn the_dialplan_keeps_what_was_too_much_and_lets_go_of_it_again() {
        let mut load = Load::default();
        assert_eq!(load.tick(), 0);
        for n in 0..100 {
            load.admits(if n < 40 { MAX_COMMANDS } else { 0 });
        }
        assert_eq!(load.tick(), 40);
        for n in 0..60 {
            load.admits(if n < 6 { MAX_COMMANDS } else { 0 });
        }
        assert_eq!(load.tick(), 46, "a tenth of the rest");
        let ticks = std::iter::from_fn(|| Some(load.tick())).take_while(|&share| share > 0);
        assert!((20..80).contains(&ticks.count()));
        load.admits(MAX_COMMANDS);
        assert_eq!(load.tick(), MAX_SHARE);
    }
}
