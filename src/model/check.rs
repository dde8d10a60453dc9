//! What must hold between the objects of a configuration: references lead somewhere, roles fit,
//! names are unique, each DID has one owner, and toll-free numbers are only where the account has
//! them.
//!
//! What must hold between one object and others stands with its kind, in `objects`; here is what all
//! kinds share, and what concerns several of them. Whether calls would loop is a matter of routing.

use std::collections::{BTreeMap, BTreeSet};

use super::change::row;
use super::configuration::{Configuration, Listed};
use super::id::{ForwardingFlowId, Id, ObjectId, RateDeckId, ServerId};
use super::number::Did;
use super::object::{Record, Roster};
use super::objects::destination::{Destination, Landing};
use super::objects::forwarding_flow::{Fallback, ForwardingFlow};
use super::objects::number::Number;
use super::objects::rate_deck::RateDeck;
use super::objects::server::ServerRole;
use super::objects::trunk::Trunk;
use super::objects::{KINDS, Kind};
use super::places::Places;
use super::problem::{Problem, path};

/// The places of every object in a configuration that is itself the document.
#[must_use]
pub fn places_of(whole: &Configuration) -> Places {
    let mut places = Places::default();
    places.put_account("/account");
    for kind in KINDS {
        for (i, (id, _)) in kind.list(whole).into_iter().enumerate() {
            places.put(id, format!("/{}/{i}", kind.section));
        }
    }
    for (i, number) in whole.numbers.iter().enumerate() {
        places.put(number.id, format!("/numbers/{i}"));
    }
    for (i, flow) in whole.forwarding_flows.iter().enumerate() {
        for (j, did) in flow.dids.iter().enumerate() {
            places.put_did(flow.id, did, format!("/forwarding_flows/{i}/dids/{j}"));
        }
        for (j, destination) in flow.destinations.iter().enumerate() {
            places.put(destination.id, format!("/forwarding_flows/{i}/destinations/{j}"));
        }
    }
    places
}

/// Everything that does not hold, each at the place in the document that can mend it; the pointer
/// is empty when nothing in the document has a part in it. What refers to one of `unread`, which have
/// been told of, is not at fault.
#[must_use]
pub fn problems(
    whole: &Configuration,
    places: &Places,
    unread: &BTreeMap<ObjectId, String>,
) -> Vec<Problem> {
    let rosters = KINDS.iter().map(|kind| (kind.prefix, kind.roster(whole))).collect();
    let servers = whole.servers.iter().map(|server| (server.id, (&*server.name, server.role)));
    let servers = servers.collect();
    let mut check = Check { whole, places, unread, rosters, servers, problems: Vec::new() };
    for kind in KINDS {
        kind.check_names(&mut check);
    }
    if let Some(deck) = whole.account.rate_deck {
        check.exists(deck, "the account", [places.account_key("rate_deck"), None]);
    }
    for kind in KINDS {
        kind.check(&mut check);
    }
    check.owners();
    check.numbers();
    check.problems
}

/// What is legal and leads to surprises: DIDs that cannot be told apart or never match, toll-free
/// numbers that no trunk carries, and numbers that a rate deck has forgotten.
#[must_use]
pub fn warnings(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let mut warnings = surprising_dids(whole, places);
    warnings.extend(uncarried(whole, places));
    warnings.extend(unrated(whole, places));
    warnings
}

/// What an object refers to.
#[must_use]
pub fn references(object: &impl Record) -> BTreeSet<ObjectId> {
    row(object).1
}

/// What the account is called among the users of an object.
pub(super) const ACCOUNT: &str = "the account";

/// What refers to this object, in words.
#[must_use]
pub fn users_of(whole: &Configuration, id: ObjectId) -> Vec<String> {
    let account = references(&whole.account).contains(&id).then(|| ACCOUNT.to_owned());
    let mut users: Vec<String> = account.into_iter().collect();
    users.extend(KINDS.iter().flat_map(|kind| kind.users_of(whole, id)));
    if let Some(id) = id.to::<ServerId>() {
        users.extend(in_words(whole.numbers.iter().filter(|one| is_idle(one, id))));
    }
    users
}

/// `number +12025550100 and 49 more`: there may be very many.
pub(super) fn in_words<'a>(mut numbers: impl Iterator<Item = &'a Number>) -> Option<String> {
    let first = numbers.next()?;
    let more = numbers.count();
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("number {}{and_more}", first.did))
}

/// A number on this server that nobody owns; the others are their flow's.
fn is_idle(number: &Number, server: ServerId) -> bool {
    number.server == server && number.forwarding_flow.is_none()
}

/// DIDs of one master that differ in case only, which a VICIdial behind it cannot tell apart, and
/// the lone dash, which Asterisk's dialplan never matches.
fn surprising_dids(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let mut seen: BTreeMap<(ServerId, String), (&Did, Option<&str>)> = BTreeMap::new();
    let mut warnings = Vec::new();
    for number in &whole.numbers {
        let key = (number.server, number.did.as_str().to_ascii_lowercase());
        let owner = number.forwarding_flow;
        let place = owner.and_then(|flow| places.did(flow, &number.did));
        let place = place.or_else(|| places.find(number.id));
        if number.did.as_str() == "-"
            && let Some(pointer) = place
        {
            let message =
                "Asterisk ignores dashes when it matches, and answers a lone one with 484";
            let hint = "let the carrier send another name; divert will never see this call";
            warnings.push(Problem::new(pointer, "never_matches", message, hint));
        }
        let Some((other, elsewhere)) = seen.insert(key, (&number.did, place)) else {
            continue;
        };
        if let Some(pointer) = place.or(elsewhere).filter(|_| *other != number.did) {
            let message = format!("{} and {other} differ in upper and lower case only", number.did);
            let hint = "check which one the carrier sends; VICIdial cannot tell them apart";
            warnings.push(Problem::new(pointer, "case_only", message, hint));
        }
    }
    warnings
}

/// Toll-free destinations while no trunk carries such calls.
fn uncarried(whole: &Configuration, places: &Places) -> Vec<Problem> {
    if whole.trunks.iter().any(|trunk| trunk.carries_toll_free) {
        return Vec::new();
    }
    let destinations = whole.forwarding_flows.iter().flat_map(|flow| &flow.destinations);
    let toll_free = destinations.filter(|one| matches!(one.landing, Landing::TollFree { .. }));
    let warning = |destination: &Destination| {
        let pointer = places.key(destination.id, "toll_free")?;
        let message = "no trunk carries calls to toll-free numbers, so that none goes there";
        let hint = "type carries_toll_free: true at a trunk whose carrier takes them";
        Some(Problem::new(pointer, "no_toll_free_trunk", message, hint))
    };
    toll_free.filter_map(warning).collect()
}

/// Numbers that a flow dials over a trunk that has a rate deck, which has no rate for them.
fn unrated(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for Priced { pointer, number, deck, .. } in priced(whole, places) {
        if deck.rate_for(&number).is_some() {
            continue;
        }
        let what = if whole.account.prepaid {
            "no call goes there: a prepaid account has them refused"
        } else {
            "calls there cost nothing"
        };
        let message = format!("rate deck {} has no rate for {number}, so that {what}", deck.name);
        let hint = "add a rate to it; the prefix \"\" matches every number";
        warnings.push(Problem::new(pointer, "no_rate", message, hint));
    }
    warnings
}

/// A number that a flow dials, and what prices it.
#[derive(Debug)]
pub struct Priced<'a> {
    pub flow: &'a ForwardingFlow,
    /// Where the document has a part in it.
    pub pointer: String,
    /// As it is dialled.
    pub number: String,
    pub deck: &'a RateDeck,
}

/// All of them that the document has a part in: by the flow, or by the deck.
#[must_use]
pub fn priced<'a>(whole: &'a Configuration, places: &Places) -> Vec<Priced<'a>> {
    let mut found = Vec::new();
    let account = whole.account.rate_deck;
    let over = |trunk: &Trunk| trunk.rate_deck.or(account);
    let carriers = whole.trunks.iter().filter(|trunk| trunk.carries_toll_free);
    let carriers: BTreeSet<RateDeckId> = carriers.filter_map(over).collect();
    for flow in &whole.forwarding_flows {
        let mut add = |pointer: Option<String>, number: &str, deck: Option<RateDeckId>| {
            // What the document has no part in is not judged again.
            if let Some(deck) = deck.and_then(|id| whole.rate_deck(id))
                && let Some(pointer) = pointer.or_else(|| places.key(deck.id, "rates"))
            {
                found.push(Priced { flow, pointer, number: number.to_owned(), deck });
            }
        };
        for destination in &flow.destinations {
            let key = |key: &str| places.key(destination.id, key);
            match &destination.landing {
                // Calls to a slave cost what its trunk says, never what the account says.
                Landing::Slave { server, did } => {
                    let trunk = whole.server(*server).and_then(|server| server.trunk);
                    let deck = trunk.and_then(|id| whole.trunk(id)?.rate_deck);
                    add(key("did"), did.as_str(), deck);
                }
                Landing::TollFree { number } => {
                    for deck in &carriers {
                        add(key("toll_free"), number.dialled().as_str(), Some(*deck));
                    }
                }
                Landing::Trunk { trunk, number } => {
                    let deck = whole.trunk(*trunk).and_then(over);
                    add(key("number"), number.as_str(), deck);
                }
            }
        }
        if let Fallback::Number { trunk, number } = &flow.fallback {
            let deck = whole.trunk(*trunk).and_then(over);
            add(places.key(flow.id, "fallback/number"), number.as_str(), deck);
        }
    }
    found
}

pub struct Check<'a> {
    pub whole: &'a Configuration,
    pub places: &'a Places,
    unread: &'a BTreeMap<ObjectId, String>,
    /// By the prefix of their ids.
    rosters: BTreeMap<&'static str, Roster>,
    servers: BTreeMap<ServerId, (&'a str, ServerRole)>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    /// Notes a problem at the first of the places that is in the document.
    pub fn note(
        &mut self,
        places: impl IntoIterator<Item = Option<String>>,
        code: &'static str,
        message: String,
        hint: impl Into<String>,
    ) {
        let pointer = places.into_iter().flatten().next().unwrap_or_default();
        self.problems.push(Problem::new(pointer, code, message, hint));
    }

    pub(super) fn unique_names<T: Listed>(&mut self, all: &'a [T]) {
        let mut bearers: BTreeMap<&str, ObjectId> = BTreeMap::new();
        let read = all.iter().map(|one| (one.id().into(), one.name()));
        let unread = self.unread.iter().map(|(id, name)| (*id, name.as_str()));
        let unread = unread.filter(|(id, name)| id.prefix() == T::Id::PREFIX && !name.is_empty());
        // Those that are there already come first, so that the newcomer is told.
        let (there, new): (Vec<(ObjectId, &str)>, Vec<_>) =
            read.chain(unread).partition(|(id, _)| self.places.find(*id).is_none());
        for (id, name) in there.into_iter().chain(new) {
            let Some(other) = bearers.insert(name, id) else {
                continue;
            };
            let place = self.places.find(other).map(path);
            let place =
                place.map_or_else(|| "is there already".to_owned(), |at| format!("is {at}"));
            self.note(
                [self.places.key(id, "name")],
                "taken",
                format!("another {} named {name} {place}", T::Id::WORD),
                "give each its own name",
            );
        }
    }

    fn is_there(&self, id: ObjectId) -> bool {
        let roster = self.rosters.get(id.prefix());
        self.unread.contains_key(&id) || roster.is_some_and(|roster| roster.has(id.value()))
    }

    /// What `who` names must be there.
    pub fn exists<I: Id>(&mut self, id: I, who: &str, here: [Option<String>; 2]) {
        if self.is_there(id.into()) {
            return;
        }
        let word = I::WORD;
        let message = format!("{who} names a {word} that does not exist");
        let section = Kind::by_prefix(I::PREFIX).map_or("", |kind| kind.section);
        let hint = format!("list the {word} under {section}:, or name another one there");
        self.note(here, "dangling", message, hint);
    }

    /// `what` (`master of forwarding flow x`) must be a server of this role.
    pub fn has_role(&mut self, id: ServerId, role: ServerRole, what: &str, here: Option<String>) {
        match self.servers.get(&id) {
            None if self.is_there(id.into()) => {}
            None => {
                let message = format!("the {what} does not exist");
                self.note([here], "dangling", message, format!("type the name of a {role}"));
            }
            Some((name, found)) if *found != role => {
                let message = format!("{name} is the {what} but its role is {found}, not {role}");
                let hint = format!("type the name of a {role} there, or change the role");
                self.note([here, self.places.key(id, "role")], "wrong_role", message, hint);
            }
            Some(_) => {}
        }
    }

    fn owners(&mut self) {
        let mut owners: BTreeMap<(ServerId, &Did), &ForwardingFlow> = BTreeMap::new();
        let (there, new): (Vec<_>, Vec<_>) = self
            .whole
            .forwarding_flows
            .iter()
            .flat_map(|flow| flow.dids.iter().map(move |did| (flow, did)))
            .partition(|(flow, did)| self.places.did(flow.id, did).is_none());
        for (flow, did) in there.into_iter().chain(new) {
            let Some(owner) = owners.insert((flow.master, did), flow) else {
                continue;
            };
            if owner.id == flow.id {
                continue;
            }
            let place = self.places.did(owner.id, did).map(path);
            let place = place.map_or_else(String::new, |at| format!(" ({at})"));
            let pointer = self.places.did(flow.id, did).map(str::to_owned);
            self.note(
                [pointer, self.places.key(flow.id, "master")],
                "taken",
                format!("{did} belongs to forwarding flow {}{place} already", owner.name),
                format!("leave it out here, or take it out of {} first", owner.name),
            );
        }
    }

    fn numbers(&mut self) {
        let mut seen: BTreeSet<(ServerId, &Did)> = BTreeSet::new();
        let flows = self.whole.forwarding_flows.iter();
        let listed: BTreeSet<(ForwardingFlowId, ServerId, &Did)> = flows
            .flat_map(|flow| flow.dids.iter().map(move |did| (flow.id, flow.master, did)))
            .collect();
        for number in &self.whole.numbers {
            let did = &number.did;
            let here = self.places.key(number.id, "server");
            // A number with an owner stands on the owner's master, which was judged there.
            if number.forwarding_flow.is_none() {
                let what = format!("server of number {did}");
                self.has_role(number.server, ServerRole::Master, &what, here.clone());
            }
            if !seen.insert((number.server, did)) {
                self.note(
                    [self.places.key(number.id, "did")],
                    "taken",
                    format!("number {did} is listed twice"),
                    "leave one of them out",
                );
            }
            let Some(owner) = number.forwarding_flow else {
                continue;
            };
            if !listed.contains(&(owner, number.server, did)) {
                self.note(
                    [self.places.key(number.id, "forwarding_flow")],
                    "dangling",
                    format!("number {did} names an owner that does not list it on that server"),
                    "list it under dids of the flow",
                );
            }
        }
    }
}
