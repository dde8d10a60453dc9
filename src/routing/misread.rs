//! What is allowed and means something else than most people think who type it: names, zones, hours,
//! addresses, and how numbers are written.

use std::collections::BTreeMap;

use crate::model::check::{Priced, priced};
use crate::model::configuration::Configuration;
use crate::model::id::ServerId;
use crate::model::number::Did;
use crate::model::number_plan::Digits;
use crate::model::objects::destination::{Destination, Landing};
use crate::model::objects::forwarding_flow::ForwardingFlow;
use crate::model::objects::trunk::{Reach, SipAddress};
use crate::model::opening_hours::{Hours, OpeningHours};
use crate::model::places::Places;
use crate::model::problem::Problem;
use crate::model::time::Zone;

/// Of the objects that `places` knows.
pub(super) fn misread(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let mut found = Vec::new();
    names(whole, places, &mut found);
    zone(places.account_key("time_zone"), Some(&whole.account.time_zone), &mut found);
    for trunk in &whole.trunks {
        if let Reach::Address(address) = &trunk.reach {
            self::address(places.key(trunk.id, "address"), address, &mut found);
        }
    }
    for one in &whole.schedules {
        hours(places.key(one.id, "hours"), Some(&one.opening), &mut found);
    }
    for flow in &whole.forwarding_flows {
        zone(places.key(flow.id, "time_zone"), flow.time_zone.as_ref(), &mut found);
        hours(places.key(flow.id, "schedule"), own(flow.schedule.as_ref()), &mut found);
        caller_numbers(places, flow, &mut found);
        for one in &flow.destinations {
            zone(places.key(one.id, "time_zone"), one.time_zone.as_ref(), &mut found);
            hours(places.key(one.id, "schedule"), own(one.schedule.as_ref()), &mut found);
        }
    }
    plus_only(whole, places, &mut found);
    prices(whole, places, &mut found);
    found
}

/// A number is what calls come to or go to: where one is a name, people take the one for the other.
fn names(whole: &Configuration, places: &Places, found: &mut Vec<Problem>) {
    let mut judge = |pointer: Option<String>, what: &str, name: &str| {
        let digits = name.strip_prefix('+').unwrap_or(name);
        let is_number = digits.len() >= 5 && digits.bytes().all(|c| c.is_ascii_digit());
        if let Some(pointer) = pointer.filter(|_| is_number) {
            let message = format!("the name of {what} {name} looks like a telephone number");
            let hint = "type a name with a word in it, by which people know it";
            found.push(Problem::new(pointer, "misleading_name", message, hint));
        }
    };
    for one in &whole.servers {
        judge(places.key(one.id, "name"), "server", &one.name);
    }
    for one in &whole.trunks {
        judge(places.key(one.id, "name"), "trunk", &one.name);
    }
    for one in &whole.rate_decks {
        judge(places.key(one.id, "name"), "rate deck", &one.name);
    }
    for flow in &whole.forwarding_flows {
        judge(places.key(flow.id, "name"), "forwarding flow", &flow.name);
        for one in flow.destinations.iter().filter(|one| !is_named_by_number(one)) {
            judge(places.key(one.id, "name"), "destination", &one.name);
        }
    }
}

/// As it is unless somebody gives it a name.
fn is_named_by_number(destination: &Destination) -> bool {
    match &destination.landing {
        Landing::Slave { .. } => false,
        Landing::TollFree { number } => number.as_str() == destination.name,
        Landing::Trunk { number, .. } => number.as_str() == destination.name,
    }
}

fn zone(pointer: Option<String>, zone: Option<&Zone>, found: &mut Vec<Problem>) {
    let warning = pointer.zip(zone.and_then(Zone::surprise));
    if let Some((pointer, (message, hint))) = warning {
        found.push(Problem::new(pointer, "misleading_zone", message, hint));
    }
}

/// The hours that stand where they are used; those of a schedule are judged there.
fn own(hours: Option<&Hours>) -> Option<&OpeningHours> {
    hours.and_then(Hours::own)
}

fn hours(pointer: Option<String>, schedule: Option<&OpeningHours>, found: &mut Vec<Problem>) {
    let Some((pointer, schedule)) = pointer.zip(schedule) else {
        return;
    };
    for (short, whole) in schedule.short_by_a_minute() {
        let message = format!("hours {short} end before the last minute, which is closed");
        let hint = format!("type {whole} to be open in that minute too");
        found.push(Problem::new(pointer.clone(), "minute_short", message, hint));
    }
}

fn address(pointer: Option<String>, address: &SipAddress, found: &mut Vec<Problem>) {
    let Some(pointer) = pointer else {
        return;
    };
    let is_this_machine = address.host().eq_ignore_ascii_case("localhost")
        || matches!(address.octets(), Some([127, ..]));
    let (what, hint) = match address.octets() {
        Some([0, ..]) => ("stands for any address, and is nobody's", "type that of the peer"),
        Some([224..=239, ..]) => ("is that of a group", "type that of one peer"),
        Some([.., 255]) => ("is the one of all machines in most networks", "type that of one peer"),
        _ if is_this_machine && address.port() == SipAddress::DEFAULT_PORT => (
            "is this machine, where Asterisk itself listens: calls would come back",
            "type the address of the peer, or the port where it listens",
        ),
        _ => return,
    };
    let message = format!("the address {address} {what}");
    found.push(Problem::new(pointer, "misleading_address", message, hint));
}

fn caller_numbers(places: &Places, flow: &ForwardingFlow, found: &mut Vec<Problem>) {
    let plan = &flow.caller_numbers;
    let mut warn = |key: &str, code: &'static str, message: String, hint: &str| {
        if let Some(pointer) = places.key(flow.id, &format!("caller_numbers/{key}")) {
            found.push(Problem::new(pointer, code, message, hint));
        }
    };
    let prefix = plan.national_prefix.as_ref().map(Digits::as_str);
    let Some(country) = plan.country.as_ref().map(Digits::as_str) else {
        if prefix.is_some() {
            let message = "without a country the national prefix has no effect".to_owned();
            warn("national_prefix", "no_effect", message, "type country: with its code, as \"44\"");
        }
        return;
    };
    if country.starts_with('0') {
        let message = format!("no country code begins with 0, as {country} does");
        warn("country", "no_effect", message, "type it as behind a +, as \"44\"");
        return;
    }
    match (plan.is_without_prefix(), prefix) {
        (Some(false), None) => {
            let message = format!(
                "country {country} alone does nothing: at home, numbers there have a prefix before \
                 them"
            );
            let hint = "type national_prefix: with what is dialled before a number of another place \
                        of the country, as \"0\"";
            warn("country", "no_effect", message, hint);
        }
        (Some(true), Some(prefix)) if country != "1" => {
            let message = format!(
                "numbers of country {country} have no national prefix: a {prefix} at the beginning \
                 is part of them"
            );
            warn("national_prefix", "not_a_prefix", message, "leave national_prefix out");
        }
        _ => {}
    }
}

/// DIDs of one master that differ in nothing but the + before them: of both, a carrier sends one.
fn plus_only(whole: &Configuration, places: &Places, found: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(ServerId, &str), (&Did, Option<&str>)> = BTreeMap::new();
    for number in &whole.numbers {
        let did = number.did.as_str();
        let owner = number.forwarding_flow;
        let place = owner.and_then(|flow| places.did(flow, &number.did));
        let place = place.or_else(|| places.find(number.id));
        let key = (number.server, did.strip_prefix('+').unwrap_or(did));
        if let Some((other, elsewhere)) = seen.insert(key, (&number.did, place))
            && let Some(pointer) = place.or(elsewhere)
            && *other != number.did
        {
            let message = format!("{other} and {did} are the same but for the +");
            let hint = "check how the carrier sends it, and leave out the other";
            found.push(Problem::new(pointer, "plus_only", message, hint));
        }
    }
}

/// Numbers that are dialled in a way in which the prefixes of their rate deck do not find them.
fn prices(whole: &Configuration, places: &Places, found: &mut Vec<Problem>) {
    for Priced { flow, pointer, number, deck } in priced(whole, places) {
        let Some(rate) = deck.rate_for(&number) else {
            continue;
        };
        let meant = flow.caller_numbers.international(&number);
        let message = format!(
            "{number} is priced by the prefix \"{}\" of rate deck {}",
            rate.prefix, deck.name
        );
        let other = deck.rate_for(&meant).filter(|other| other.prefix != rate.prefix);
        let is_dialled_from_home =
            number.starts_with('0') && !rate.prefix.as_str().starts_with('0');
        let (message, hint) = match other {
            Some(other) => (
                format!("{message}, and as +{meant} it would be by \"{}\"", other.prefix),
                format!("type +{meant} if the carrier takes it so, or give the deck a rate for it"),
            ),
            None if is_dialled_from_home && deck.rates.len() > 1 => (
                format!("{message}: no country code begins with 0, so that no other can match"),
                "type the number with + and its country code, or give the deck a prefix that begins \
                 as it is dialled"
                    .to_owned(),
            ),
            None => continue,
        };
        found.push(Problem::new(pointer, "price_by_chance", message, hint));
    }
}
