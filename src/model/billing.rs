//! What calls cost: rate decks, and the record of each leg that was billed.
//!
//! Integers only: amounts are millionths of the account's currency, times whole seconds. Nothing is
//! kept here: which legs are billed is the engine's matter, that each is billed once the store's.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{
    AccountId, CallId, CreditId, DestinationId, ForwardingFlowId, LegId, RateDeckId, TrunkId,
};
use super::object::{choices, texts};
use super::time::Timestamp;

/// An amount in millionths of a currency's unit: 42000 is 0.042.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Micros(pub i64);

/// Three capital letters of ISO 4217.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Up to 15 digits; none at all matches every number.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(String);

/// `30/6`: the first 30 seconds are billed whole, then every 6 begun.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Increment {
    /// 1 to 3600.
    pub first_sec: u32,
    /// 1 to 3600.
    pub step_sec: u32,
}

/// How an amount is brought to the deck's decimals, once for each call.
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
pub enum Rounding {
    Down,
    /// Half a last digit goes up.
    Nearest,
    #[default]
    Up,
}

choices! { Rounding }

texts! {
    Currency "a currency" "^[A-Z]{3}$";
    Increment "a first and a next length" "^0*[1-9][0-9]{0,3}/0*[1-9][0-9]{0,3}$";
    Micros "an amount" r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$";
    Prefix "a prefix" r"^(\+?[0-9]{1,15})?$";
}

/// The rate that holds for one leg, with all it takes to bill it; kept by the call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tariff {
    pub deck: RateDeckId,
    pub prefix: Prefix,
    pub per_minute: Micros,
    pub increment: Increment,
    pub bills_ring_time: bool,
    pub rounding: Rounding,
    pub decimals: u8,
    pub currency: Currency,
}

/// What a leg costs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Charge {
    pub billed_sec: i64,
    pub amount: Micros,
    pub currency: Currency,
}

/// The billed record of one leg: at most one, ever, and none for a test call.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cdr {
    pub call: CallId,
    pub leg: u16,
    pub account: AccountId,
    pub flow: Option<ForwardingFlowId>,
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
    /// What was dialled.
    pub endpoint: String,
    pub tariff: Tariff,
    pub started_at: Timestamp,
    pub answered_at: Timestamp,
    pub ended_at: Timestamp,
    pub charge: Charge,
}

/// Money put into an account, or taken out of it again: what calls cost comes off the same balance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credit {
    pub id: CreditId,
    /// Below zero to correct another one. At most [`Credit::MAX`] either way.
    pub amount: Micros,
    /// For people: what it is for, up to [`Credit::MAX_NOTE`] characters.
    pub note: String,
    pub at: Timestamp,
}

impl Credit {
    pub const MAX: Micros = Micros(1_000_000_000 * Micros::UNIT);
    pub const MAX_NOTE: usize = 200;
}

impl Cdr {
    /// By which it is known, as there is at most one for a leg.
    #[must_use]
    pub fn id(&self) -> LegId {
        LegId { call: self.call, no: self.leg }
    }
}

impl Micros {
    /// Of one unit of the currency.
    pub const UNIT: i64 = 1_000_000;
}

impl fmt::Display for Micros {
    /// At least two digits behind the point, and no more than it takes: `0.00`, `0.0125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs() / Self::UNIT.unsigned_abs();
        let rest = format!("{:06}", self.0.unsigned_abs() % Self::UNIT.unsigned_abs());
        let rest = rest.trim_end_matches('0');
        write!(f, "{sign}{whole}.{rest:0<2}")
    }
}

impl FromStr for Micros {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "type an amount as \"0.0125\", with at most 6 digits behind the point";
        const TOO_LARGE: &str = "it is too large: type at most 12 digits before the point";
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if whole.is_empty() || rest.len() > 6 || digits.ends_with('.') {
            return Err(HINT);
        }
        if !is_digits(whole) || !is_digits(rest) {
            return Err(HINT);
        }
        let micros: i128 = format!("{whole}{rest:0<6}").parse().map_err(|_| TOO_LARGE)?;
        i64::try_from(sign * micros).map(Self).map_err(|_| TOO_LARGE)
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self(*b"USD")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&letter| write!(f, "{}", char::from(letter)))
    }
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err("type three capital letters, as USD"),
        }
    }
}

impl Prefix {
    /// The most digits; no number is longer (ITU-T E.164).
    pub const MAX: usize = 15;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        // A lone plus is half a number, and must not become the price of all of them.
        let is_lone_plus = digits.is_empty() && !text.is_empty();
        if is_lone_plus || digits.len() > Self::MAX || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err("type up to 15 digits in quotes, as \"1800\"; \"\" matches every number");
        }
        Ok(Self(digits.to_owned()))
    }
}

impl fmt::Display for Increment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first_sec, self.step_sec)
    }
}

impl FromStr for Increment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "type seconds as \"30/6\": the first 30, then every 6 begun";
        let part = |text: &str| {
            let seconds: u32 = text.parse().ok()?;
            ((1..=3_600).contains(&seconds) && !text.starts_with('+')).then_some(seconds)
        };
        let (first, step) = text.split_once('/').ok_or(HINT)?;
        let (first_sec, step_sec) = part(first).zip(part(step)).ok_or(HINT)?;
        Ok(Self { first_sec, step_sec })
    }
}

impl Tariff {
    /// What a leg costs that rang for `ring_ms` before it was answered, and then talked for
    /// `talk_ms`. A second that was begun counts whole, and an answer costs the first increment
    /// however short the conversation was. Never below zero.
    #[must_use]
    pub fn charge(&self, ring_ms: i64, talk_ms: i64) -> Charge {
        let ring_ms = if self.bills_ring_time { ring_ms.max(0) } else { 0 };
        let used_sec = talk_ms.max(0).saturating_add(ring_ms).saturating_add(999) / 1_000;
        let (first, step) =
            (i64::from(self.increment.first_sec.max(1)), i64::from(self.increment.step_sec.max(1)));
        let beyond = (used_sec - first).max(0);
        let billed_sec = first + (beyond + step - 1) / step * step;
        // In sixtieths of a micro-unit, so that nothing is lost before the one rounding.
        let exact = i128::from(self.per_minute.0.max(0)) * i128::from(billed_sec);
        let last_digit = 60 * 10_i128.pow(u32::from(6 - self.decimals.min(6)));
        let digits = match self.rounding {
            Rounding::Down => exact / last_digit,
            Rounding::Nearest => (exact + last_digit / 2) / last_digit,
            Rounding::Up => (exact + last_digit - 1) / last_digit,
        };
        let amount = i64::try_from(digits * last_digit / 60).unwrap_or(i64::MAX);
        Charge { billed_sec, amount: Micros(amount), currency: self.currency }
    }
}

macro_rules! by_text {
    ($($type:ident)*) => {$(
        impl TryFrom<String> for $type {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}

by_text! { Currency Increment Micros Prefix }
