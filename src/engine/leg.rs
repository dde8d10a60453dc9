//! One leg that divert dials: from the decision to the end of its channel. Slots are held for it
//! until that is gone.

use std::sync::Arc;

use super::ChannelState;
use crate::model::billing::{Cdr, Tariff};
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::{HangupCause, Outcome};
use crate::model::id::{ChannelId, LegId};
use crate::model::time::Timestamp;
use crate::routing::decide::Would;
use crate::routing::snapshot::Offer;

#[derive(Debug)]
pub(super) struct Leg {
    pub record: LegRecord,
    pub stage: LegStage,
    /// When Asterisk was told to dial it.
    pub dialled_at: Option<Timestamp>,
    /// Why we hung it up, if we did: then that is its outcome, whatever Asterisk says.
    pub taken_back: Option<Outcome>,
    /// When that was: what Asterisk tells later of it costs nothing any more.
    pub cut_at: Option<Timestamp>,
    pub ring_timeout_ms: i64,
    /// What it costs once it is answered; `None` is nothing.
    pub tariff: Option<Arc<Tariff>>,
    /// Of a test call: what an ordinary one would change here.
    pub would: Would,
}

/// How a channel went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    /// Earlier than now where nobody heard it.
    pub at: Timestamp,
    pub cause: Option<HangupCause>,
    pub sip_code: Option<u16>,
    /// The last it was in.
    pub state: ChannelState,
}

impl Departure {
    /// One without a word about why.
    pub const fn silent(at: Timestamp, state: ChannelState) -> Self {
        Self { at, cause: None, sip_code: None, state }
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum LegStage {
    /// The channel was asked for.
    Creating,
    /// Asterisk was told to dial it.
    Dialled,
    Ringing,
    Up,
}

impl Leg {
    pub fn new(id: LegId, offer: Offer, now: Timestamp) -> Self {
        let record = LegRecord {
            call: id.call,
            no: id.no,
            destination: offer.destination,
            trunk: Some(offer.trunk),
            name: offer.name,
            endpoint: offer.endpoint,
            started_at: now,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            outcome: None,
            cause: None,
            sip_code: None,
        };
        Self {
            record,
            stage: LegStage::Creating,
            dialled_at: None,
            taken_back: None,
            cut_at: None,
            ring_timeout_ms: offer.ring_timeout_ms,
            tariff: offer.tariff,
            would: Would::default(),
        }
    }

    /// For a clock that was set.
    pub fn move_by(&mut self, ms: i64) {
        let Self { record, dialled_at, cut_at, .. } = self;
        record.started_at = record.started_at.plus_ms(ms);
        let times = [
            &mut record.ringing_at,
            &mut record.answered_at,
            &mut record.ended_at,
            dialled_at,
            cut_at,
        ];
        for at in times.into_iter().flatten() {
            *at = at.plus_ms(ms);
        }
    }

    /// We hang it up.
    pub fn take_back(&mut self, now: Timestamp, why: Outcome) {
        self.taken_back = Some(why);
        self.cut_at = Some(now);
    }

    /// From when to when it is paid for, now that it has ended: from the answer to the end, or to our
    /// hanging up, and never longer than a conversation may last. `None` if nobody answered.
    pub fn paid_time(&self, longest_ms: Option<i64>) -> Option<(Timestamp, Timestamp)> {
        let (answered_at, ended_at) = (self.record.answered_at?, self.record.ended_at?);
        let limit = longest_ms.map(|ms| answered_at.plus_ms(ms));
        let ends = [Some(ended_at), self.cut_at, limit];
        let until = ends.into_iter().flatten().min().unwrap_or(ended_at);
        Some((answered_at, until.max(answered_at)))
    }

    /// What is billed of it, now that it has ended: nothing unless it was answered.
    pub fn cdr(&self, call: &CallRecord, longest_ms: Option<i64>) -> Option<Cdr> {
        let tariff = Arc::clone(self.tariff.as_ref()?);
        let (answered_at, ended_at) = self.paid_time(longest_ms)?;
        let started_at = self.record.started_at;
        // Carriers that send 183 and never 180 ring all the same.
        let rang_since = self.record.ringing_at.or(self.dialled_at).unwrap_or(answered_at);
        let charge =
            tariff.charge(answered_at.since_ms(rang_since), ended_at.since_ms(answered_at));
        Some(Cdr {
            call: call.id,
            leg: self.record.no,
            account: call.account,
            flow: call.flow.as_ref().map(|(flow, _)| *flow),
            destination: self.record.destination,
            trunk: self.record.trunk,
            endpoint: self.record.endpoint.clone(),
            tariff: Tariff::clone(&tariff),
            started_at,
            answered_at,
            ended_at,
            charge,
        })
    }

    /// The last time that anything was heard of it.
    pub fn heard_at(&self) -> Timestamp {
        let record = &self.record;
        let heard = [Some(record.started_at), record.ringing_at, record.answered_at];
        heard.into_iter().flatten().max().unwrap_or(record.started_at)
    }

    pub fn id(&self) -> LegId {
        LegId { call: self.record.call, no: self.record.no }
    }

    pub fn channel(&self) -> ChannelId {
        self.id().channel()
    }
}
