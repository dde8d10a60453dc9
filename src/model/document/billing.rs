//! The settings of the account and its rate decks, both ways.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::{Fields, without_nulls};
use super::read::{Entry, Reader, named, reference};
use crate::model::account::AccountSettings;
use crate::model::billing::{Increment, Micros, Prefix, Rate, RateDeck};
use crate::model::configuration::Configuration;
use crate::model::id::RateDeckId;

const ACCOUNT: [&str; 6] =
    ["currency", "max_live", "prepaid", "rate_deck", "time_zone", "toll_free_termination"];
const DECK: [&str; 6] = ["bills_ring_time", "decimals", "id", "name", "rates", "rounding"];
const RATE: [&str; 3] = ["increment", "per_minute", "prefix"];

/// Whole minutes.
const INCREMENT: Increment = Increment { first_sec: 60, step_sec: 60 };

impl Reader<'_> {
    /// What is left out is as it is in a new account.
    pub fn account(&mut self, value: &Value, pointer: &str) -> AccountSettings {
        self.places.put_account(pointer);
        let Some(mut fields) = Fields::open(value, pointer, &ACCOUNT, &mut self.problems) else {
            return AccountSettings::default();
        };
        let decks = &self.rate_decks;
        AccountSettings {
            time_zone: fields.zone("time_zone").unwrap_or_default(),
            max_live: fields.max_live(),
            toll_free_termination: fields.flag("toll_free_termination"),
            prepaid: fields.flag("prepaid"),
            currency: fields.parsed("currency", "a currency").unwrap_or_default(),
            rate_deck: reference(&mut fields, "rate_deck", "rate deck", decks, self.unnamed),
        }
    }

    pub fn rate_deck(&mut self, entry: &Entry<'_, RateDeckId>) -> Option<RateDeck> {
        let Entry { id, value, ref pointer, .. } = *entry;
        self.places.put(id, pointer);
        let mut fields = Fields::open(value, pointer, &DECK, &mut self.problems)?;
        let name = named(&mut fields);
        let decimals =
            fields.count("decimals", &(0..=6)).and_then(|count| u8::try_from(count).ok());
        Some(RateDeck {
            id,
            name,
            rates: read_rates(&mut fields).into(),
            bills_ring_time: fields.flag("bills_ring_time"),
            rounding: fields.choice("rounding").unwrap_or_default(),
            decimals: decimals.unwrap_or(RateDeck::DECIMALS),
        })
    }
}

/// By prefix. A faulty rate is left out.
fn read_rates(fields: &mut Fields<'_, '_>) -> Vec<Rate> {
    let items = fields.list("rates");
    if items.is_empty() && fields.value("rates").is_none_or(Value::is_array) {
        let hint = "list at least one, as {prefix: \"1\", per_minute: \"0.0120\"}; the prefix \"\" \
                    matches every number";
        fields.wrong("rates", "missing", "a rate deck without rates bills nothing", hint);
    }
    let mut seen: BTreeSet<Prefix> = BTreeSet::new();
    let mut rates: Vec<Rate> = Vec::with_capacity(items.len());
    for (pointer, item) in items {
        let Some(mut fields) = Fields::open(item, &pointer, &RATE, fields.problems) else {
            continue;
        };
        let prefix: Option<Prefix> = fields.parsed("prefix", "a prefix");
        if !fields.has("prefix") {
            let hint = "type how the numbers begin, as \"1800\"; \"\" matches every number";
            fields.missing("prefix", hint);
        }
        let per_minute = read_price(&mut fields);
        let increment = fields.parsed("increment", "a first and a next length");
        if let Some(prefix) = &prefix
            && !seen.insert(prefix.clone())
        {
            let message = format!("the prefix \"{prefix}\" has a rate already");
            fields.wrong("prefix", "taken", message, "keep one of them");
        }
        if let (Some(prefix), Some(per_minute)) = (prefix, per_minute) {
            rates.push(Rate { prefix, per_minute, increment: increment.unwrap_or(INCREMENT) });
        }
    }
    rates.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    rates
}

fn read_price(fields: &mut Fields<'_, '_>) -> Option<Micros> {
    const KEY: &str = "per_minute";
    if !fields.has(KEY) {
        fields.missing(KEY, "type the price of a minute in quotes, as \"0.0120\"");
    }
    let price: Micros = fields.parsed(KEY, "an amount")?;
    if (Micros(0)..=Rate::MAX_PER_MINUTE).contains(&price) {
        return Some(price);
    }
    let hint = format!("type an amount from \"0.00\" to \"{}\"", Rate::MAX_PER_MINUTE);
    fields.wrong(KEY, "out_of_range", format!("{price} is out of range"), hint);
    None
}

/// The settings of the account, each spelled out, with its deck by name.
#[must_use]
pub fn write_account(account: &AccountSettings, whole: &Configuration) -> Value {
    without_nulls(json!({
        "time_zone": account.time_zone,
        "max_live": account.max_live,
        "toll_free_termination": account.toll_free_termination,
        "prepaid": account.prepaid,
        "currency": account.currency,
        "rate_deck": account.rate_deck.map(|id| deck_name(id, whole)),
    }))
}

/// A rate deck with its id, every setting, and its rates. Nothing in it refers to anything, yet it
/// is written like the others.
#[must_use]
pub fn write_rate_deck(deck: &RateDeck, _whole: &Configuration) -> Value {
    json!({
        "id": deck.id,
        "name": deck.name,
        "rates": deck.rates,
        "bills_ring_time": deck.bills_ring_time,
        "rounding": deck.rounding,
        "decimals": deck.decimals,
    })
}

pub(super) fn deck_name(id: RateDeckId, whole: &Configuration) -> String {
    whole.rate_deck(id).map_or_else(|| id.to_string(), |deck| deck.name.clone())
}
