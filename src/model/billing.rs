//! What calls cost: rate decks, and the record of each leg that was billed.
//!
//! Integers only: amounts are millionths of the account's currency, times whole seconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{AccountId, CallId, DestinationId, ForwardingFlowId, RateDeckId, TrunkId};
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

/// Prices by the beginning of the dialled number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RateDeck {
    pub id: RateDeckId,
    /// Unique in the account, 1 to 60 characters.
    pub name: String,
    /// By prefix, each once.
    pub rates: Vec<Rate>,
    /// Seconds count from the first ring instead of the answer; who never answers is never billed.
    pub bills_ring_time: bool,
    pub rounding: Rounding,
    /// Digits behind the point that an amount keeps, 0 to 6.
    pub decimals: u8,
}

/// The price of a minute to numbers that begin with `prefix`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rate {
    pub prefix: Prefix,
    pub per_minute: Micros,
    pub increment: Increment,
}

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
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        if whole.is_empty() || whole.len() > 12 || rest.len() > 6 {
            return Err(HINT);
        }
        if !is_digits(whole) || !is_digits(rest) || digits.ends_with('.') {
            return Err(HINT);
        }
        let whole: i64 = whole.parse().map_err(|_| HINT)?;
        let rest: i64 = format!("{rest:0<6}").parse().map_err(|_| HINT)?;
        Ok(Self(sign * (whole * Self::UNIT + rest)))
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
        if digits.len() > 15 || !digits.bytes().all(|c| c.is_ascii_digit()) {
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

impl RateDeck {
    /// Digits behind the point unless a deck says otherwise.
    pub const DECIMALS: u8 = 4;

    /// The rate of the longest prefix that `number` begins with; a `+` before it does not count.
    #[must_use]
    pub fn rate_for(&self, number: &str) -> Option<&Rate> {
        let number = number.strip_prefix('+').unwrap_or(number);
        let fits = |rate: &&Rate| number.starts_with(rate.prefix.as_str());
        self.rates.iter().filter(fits).max_by_key(|rate| rate.prefix.as_str().len())
    }

    /// What a call to `number` will be billed by.
    #[must_use]
    pub fn tariff(&self, number: &str, currency: Currency) -> Option<Tariff> {
        let rate = self.rate_for(number)?;
        Some(Tariff {
            deck: self.id,
            prefix: rate.prefix.clone(),
            per_minute: rate.per_minute,
            increment: rate.increment,
            bills_ring_time: self.bills_ring_time,
            rounding: self.rounding,
            decimals: self.decimals,
            currency,
        })
    }
}

impl Tariff {
    /// What a leg costs that rang for `ring_ms` before it was answered, and then talked for
    /// `talk_ms`. A second that was begun counts whole.
    #[must_use]
    pub fn charge(&self, ring_ms: i64, talk_ms: i64) -> Charge {
        let ms = talk_ms.max(0) + if self.bills_ring_time { ring_ms.max(0) } else { 0 };
        let used_sec = ms.saturating_add(999) / 1_000;
        let (first, step) =
            (i64::from(self.increment.first_sec), i64::from(self.increment.step_sec));
        let beyond = (used_sec - first).max(0);
        let billed_sec = first + (beyond + step - 1) / step * step;
        let exact = i128::from(self.per_minute.0) * i128::from(billed_sec);
        let unit = 60 * 10_i128.pow(u32::from(6 - self.decimals.min(6)));
        let rounded = match self.rounding {
            Rounding::Down => exact / unit,
            Rounding::Nearest => (exact + unit / 2) / unit,
            Rounding::Up => (exact + unit - 1) / unit,
        };
        let amount = i64::try_from(rounded * unit / 60).unwrap_or(i64::MAX);
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
