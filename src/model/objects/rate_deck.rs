//! Rate decks: prices by the beginning of the dialled number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Rules;
use crate::model::billing::{Currency, Increment, Micros, Prefix, Rounding, Tariff};
use crate::model::id::RateDeckId;
use crate::model::object::{Int, Names, Reader, Shape, object, record, text};
use crate::model::plan::{Action, Plan};

object! {
    /// Prices by the beginning of the dialled number.
    pub struct RateDeck(RateDeckId) {
        /// Each prefix once; the longest that fits a number counts.
        rates: Rates,
        /// Seconds count from the first ring instead of the answer, or from the dial where none is
        /// told of; who never answers is never billed.
        bills_ring_time: bool = false,
        /// How an amount is brought to the deck's decimals, once for each call.
        rounding: Rounding = Rounding::default(),
        /// Digits behind the point that an amount keeps.
        decimals: Int<u8, 0, 6> = RateDeck::DECIMALS,
    }
}

record! {
    /// The price of a minute to numbers that begin with `prefix`.
    #[derive(Deserialize, Serialize)]
    pub struct Rate {
        /// Up to 15 digits; `""` matches every number.
        prefix: Prefix => "type how the numbers begin, as \"1800\"; \"\" matches every number",
        /// The price of a minute, with at most 6 digits behind the point.
        per_minute: Price => "type the price of a minute in quotes, as \"0.0120\"",
        /// `30/6`: the first 30 seconds are billed whole, then every 6 begun.
        increment: Increment = WHOLE_MINUTES,
    }
}

const WHOLE_MINUTES: Increment = Increment { first_sec: 60, step_sec: 60 };

/// Rates in the order of their prefixes, so that one among very many is found at once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Vec<Rate>")]
pub struct Rates(Vec<Rate>);

/// An amount from zero to [`Rate::MAX_PER_MINUTE`].
pub struct Price;

impl Shape for Price {
    type Value = Micros;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Micros> {
        let price = Micros::read(value, pointer, reader)?;
        if (Micros(0)..=Rate::MAX_PER_MINUTE).contains(&price) {
            return Some(price);
        }
        let hint = format!("type an amount from \"0.00\" to \"{}\"", Rate::MAX_PER_MINUTE);
        reader.fault(pointer, "out_of_range", format!("{price} is out of range"), hint);
        None
    }

    fn write(value: &Micros, names: &dyn Names) -> Value {
        Micros::write(value, names)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{1,6})?|1000(\.0{1,6})?)$" })
    }
}

impl Shape for Rates {
    type Value = Self;

    /// Without the rates that have faults.
    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let items = reader.items(value, pointer)?;
        if items.is_empty() {
            let message = "a rate deck without rates bills nothing";
            reader.fault(pointer, "missing", message, Self::hint());
            return None;
        }
        let mut seen: BTreeSet<Prefix> = BTreeSet::new();
        let mut rates = Vec::with_capacity(items.len());
        for (at, item) in items {
            rates.extend(Rate::read(item, &at, reader));
            // A prefix is taken even where the rest of its rate has a fault.
            let prefix = item.get("prefix").and_then(|typed| text(typed, "").ok());
            if let Some(prefix) = prefix.and_then(|typed| typed.parse::<Prefix>().ok())
                && !seen.insert(prefix.clone())
            {
                let message = format!("the prefix \"{prefix}\" has a rate already");
                reader.fault(format!("{at}/prefix"), "taken", message, "keep one of them");
            }
        }
        Some(rates.into())
    }

    fn write(value: &Self, names: &dyn Names) -> Value {
        value.iter().map(|rate| Rate::write(rate, names)).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "minItems": 1, "items": Rate::schema() })
    }

    fn hint() -> String {
        "list at least one, as {prefix: \"1\", per_minute: \"0.0120\"}; the prefix \"\" matches every \
         number"
            .to_owned()
    }
}

impl Rate {
    /// Nobody charges more, and sums stay far from the end of 64 bits.
    pub const MAX_PER_MINUTE: Micros = Micros(1_000 * Micros::UNIT);
}

impl Rates {
    /// The rate of the longest prefix that `digits` begins with.
    fn longest(&self, digits: &str) -> Option<&Rate> {
        let longest = digits.len().min(Prefix::MAX);
        let beginnings = (0..=longest).rev().filter_map(|len| digits.get(..len));
        for beginning in beginnings {
            if let Ok(at) = self.0.binary_search_by(|rate| rate.prefix.as_str().cmp(beginning)) {
                return self.0.get(at);
            }
        }
        None
    }
}

impl Deref for Rates {
    type Target = [Rate];

    fn deref(&self) -> &[Rate] {
        &self.0
    }
}

impl From<Vec<Rate>> for Rates {
    fn from(mut rates: Vec<Rate>) -> Self {
        rates.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        Self(rates)
    }
}

impl FromIterator<Rate> for Rates {
    fn from_iter<I: IntoIterator<Item = Rate>>(rates: I) -> Self {
        Vec::from_iter(rates).into()
    }
}

impl RateDeck {
    /// Digits behind the point unless a deck says otherwise.
    pub const DECIMALS: u8 = 4;

    /// The rate of the longest prefix that `number` begins with; only its digits count.
    #[must_use]
    pub fn rate_for(&self, number: &str) -> Option<&Rate> {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        self.rates.longest(&digits)
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

impl Rules for RateDeck {
    const IS_OF_OPERATOR: bool = true;

    fn example() -> Value {
        json!({
            "name": "retail",
            "rates": [
                { "prefix": "", "per_minute": "0.02" },
                { "prefix": "1800", "per_minute": "0.005", "increment": "30/6" },
            ],
            "rounding": "up",
            "decimals": 4,
        })
    }

    fn plan_parts(old: &Self, new: &Self, plan: &mut Plan<'_>) -> Vec<String> {
        let by_prefix = |deck: &Self| -> BTreeMap<Prefix, Rate> {
            deck.rates.iter().map(|rate| (rate.prefix.clone(), rate.clone())).collect()
        };
        let (was, is) = (by_prefix(old), by_prefix(new));
        let label = |prefix: &Prefix| match prefix.as_str() {
            "" => format!("rate of deck {} for all other numbers", new.name),
            digits => format!("rate {digits} of deck {}", new.name),
        };
        for gone in was.keys().filter(|prefix| !is.contains_key(*prefix)) {
            plan.line(Action::Remove, label(gone));
        }
        for (prefix, rate) in &is {
            let Rate { per_minute, increment, .. } = rate;
            match was.get(prefix) {
                Some(before) if before == rate => {}
                None => {
                    let text = format!("{}: {per_minute} at {increment}", label(prefix));
                    plan.line(Action::Add, text);
                }
                Some(before) => {
                    let price = (before.per_minute != *per_minute)
                        .then(|| format!("{} → {per_minute}", before.per_minute));
                    let step = (before.increment != *increment)
                        .then(|| format!("increment {} → {increment}", before.increment));
                    let changes: Vec<String> = price.into_iter().chain(step).collect();
                    plan.changed(&label(prefix), &changes);
                }
            }
        }
        Vec::new()
    }

    fn size(&self) -> Option<String> {
        Some(super::count(self.rates.len(), "rate"))
    }
}
