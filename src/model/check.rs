//! What must hold between the objects of a configuration: references lead somewhere, roles fit,
//! names are unique, each DID has one owner, and toll-free numbers are only where the account has
//! them.
//!
//! What one object must look like by itself is known where it is read; whether calls would loop is
//! a matter of routing. Neither is here.

use std::collections::{BTreeMap, BTreeSet};

use super::billing::RateDeck;
use super::configuration::{Configuration, Named, Number};
use super::destination::{Destination, Landing};
use super::forwarding_flow::{Fallback, ForwardingFlow};
use super::id::{ForwardingFlowId, ObjectId, RateDeckId, ServerId, TrunkId};
use super::number::Did;
use super::problem::{Problem, path};
use super::server::{Server, ServerRole};
use super::stickiness::RepeatAction;
use super::trunk::Trunk;

/// Where in a document each object came from; those that came from elsewhere are not in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    account: Option<String>,
    objects: BTreeMap<ObjectId, String>,
    dids: BTreeMap<ForwardingFlowId, BTreeMap<Did, String>>,
}

impl Places {
    /// The object stands at this JSON pointer.
    pub fn put(&mut self, id: impl Into<ObjectId>, pointer: impl Into<String>) {
        self.objects.insert(id.into(), pointer.into());
    }

    /// The settings of the account stand at this JSON pointer.
    pub fn put_account(&mut self, pointer: impl Into<String>) {
        self.account = Some(pointer.into());
    }

    /// This flow was given this DID at this JSON pointer.
    pub fn put_did(&mut self, flow: ForwardingFlowId, did: &Did, pointer: impl Into<String>) {
        self.dids.entry(flow).or_default().insert(did.clone(), pointer.into());
    }

    /// The places of every object in a configuration that is itself the document.
    #[must_use]
    pub fn of(whole: &Configuration) -> Self {
        let mut places = Self::default();
        places.put_account("/account");
        for (i, deck) in whole.rate_decks.iter().enumerate() {
            places.put(deck.id, format!("/rate_decks/{i}"));
        }
        for (i, server) in whole.servers.iter().enumerate() {
            places.put(server.id, format!("/servers/{i}"));
        }
        for (i, trunk) in whole.trunks.iter().enumerate() {
            places.put(trunk.id, format!("/trunks/{i}"));
        }
        for (i, number) in whole.numbers.iter().enumerate() {
            places.put(number.id, format!("/numbers/{i}"));
        }
        for (i, flow) in whole.forwarding_flows.iter().enumerate() {
            places.put(flow.id, format!("/forwarding_flows/{i}"));
            for (j, did) in flow.dids.iter().enumerate() {
                places.put_did(flow.id, did, format!("/forwarding_flows/{i}/dids/{j}"));
            }
            for (j, destination) in flow.destinations.iter().enumerate() {
                places.put(destination.id, format!("/forwarding_flows/{i}/destinations/{j}"));
            }
        }
        places
    }

    /// The pointer of an object; `None` when it is not from the document.
    #[must_use]
    pub fn find(&self, id: impl Into<ObjectId>) -> Option<&str> {
        self.objects.get(&id.into()).map(String::as_str)
    }

    /// The pointer of a DID under the flow that lists it.
    #[must_use]
    pub fn did(&self, flow: ForwardingFlowId, did: &Did) -> Option<&str> {
        self.dids.get(&flow)?.get(did).map(String::as_str)
    }

    /// Where a setting of the account stands, or would; `None` when the document has no account.
    #[must_use]
    pub fn account_key(&self, key: &str) -> Option<String> {
        self.account.as_ref().map(|pointer| format!("{pointer}/{key}"))
    }

    /// Where a setting of an object stands, or would.
    #[must_use]
    pub fn key(&self, id: impl Into<ObjectId>, key: &str) -> Option<String> {
        self.find(id).map(|pointer| format!("{pointer}/{key}"))
    }
}

/// Everything that does not hold, each at the place in the document that can mend it; the pointer
/// is empty when nothing in the document has a part in it.
#[must_use]
pub fn problems(whole: &Configuration, places: &Places) -> Vec<Problem> {
    let mut check = Check { whole, places, problems: Vec::new() };
    check.unique(&whole.rate_decks);
    check.unique(&whole.trunks);
    check.unique(&whole.servers);
    check.unique(&whole.forwarding_flows);
    check.decks();
    for server in &whole.servers {
        check.server(server);
    }
    for flow in &whole.forwarding_flows {
        check.flow(flow);
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

/// What refers to this rate deck, in words.
#[must_use]
pub fn users_of_rate_deck(whole: &Configuration, id: RateDeckId) -> Vec<String> {
    let account = (whole.account.rate_deck == Some(id)).then(|| "the account".to_owned());
    let trunks = whole.trunks.iter().filter(|trunk| trunk.rate_deck == Some(id));
    account.into_iter().chain(trunks.map(|trunk| format!("trunk {}", trunk.name))).collect()
}

/// What refers to this server, in words.
#[must_use]
pub fn users_of_server(whole: &Configuration, id: ServerId) -> Vec<String> {
    let mut users = Vec::new();
    for flow in &whole.forwarding_flows {
        if flow.master == id {
            users.push(format!("forwarding flow {}", flow.name));
        }
        for destination in &flow.destinations {
            if matches!(destination.landing, Landing::Slave { server, .. } if server == id) {
                users.push(words(flow, destination));
            }
        }
    }
    let idle = |number: &&Number| number.server == id && number.forwarding_flow.is_none();
    users.extend(whole.numbers.iter().filter(idle).map(|number| format!("number {}", number.did)));
    users
}

/// What refers to this trunk, in words.
#[must_use]
pub fn users_of_trunk(whole: &Configuration, id: TrunkId) -> Vec<String> {
    let servers = whole.servers.iter().filter(|server| server.trunk == Some(id));
    let mut users: Vec<String> = servers.map(|server| format!("server {}", server.name)).collect();
    for flow in &whole.forwarding_flows {
        for destination in &flow.destinations {
            if matches!(destination.landing, Landing::Trunk { trunk, .. } if trunk == id) {
                users.push(words(flow, destination));
            }
        }
        if matches!(flow.fallback, Fallback::Number { trunk, .. } if trunk == id) {
            users.push(format!("the fallback of forwarding flow {}", flow.name));
        }
    }
    users
}

fn words(flow: &ForwardingFlow, destination: &Destination) -> String {
    format!("destination {} of forwarding flow {}", destination.name, flow.name)
}

struct Check<'a> {
    whole: &'a Configuration,
    places: &'a Places,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes a problem at the first of the places that is in the document.
    fn note(
        &mut self,
        places: impl IntoIterator<Item = Option<String>>,
        code: &'static str,
        message: String,
        hint: impl Into<String>,
    ) {
        let pointer = places.into_iter().flatten().next().unwrap_or_default();
        self.problems.push(Problem::new(pointer, code, message, hint));
    }

    fn unique<T: Named>(&mut self, all: &[T]) {
        let mut bearers: BTreeMap<&str, T::Id> = BTreeMap::new();
        // Those that are there already come first, so that the newcomer is told.
        let (there, new): (Vec<&T>, Vec<&T>) =
            all.iter().partition(|one| self.places.find(one.id()).is_none());
        for one in there.into_iter().chain(new) {
            let Some(other) = bearers.insert(one.name(), one.id()) else {
                continue;
            };
            let place = self.places.find(other).map(path);
            let place =
                place.map_or_else(|| "is there already".to_owned(), |at| format!("is {at}"));
            self.note(
                [self.places.key(one.id(), "name")],
                "taken",
                format!("another {} named {} {place}", T::KIND, one.name()),
                "give each its own name",
            );
        }
    }

    /// What names a deck must find it.
    fn decks(&mut self) {
        let (whole, places) = (self.whole, self.places);
        let account = whole
            .account
            .rate_deck
            .map(|id| (id, "the account".to_owned(), places.account_key("rate_deck")));
        let trunks = whole.trunks.iter().filter_map(|trunk| {
            let place = places.key(trunk.id, "rate_deck");
            Some((trunk.rate_deck?, format!("trunk {}", trunk.name), place))
        });
        for (id, who, here) in account.into_iter().chain(trunks) {
            if whole.rate_deck(id).is_none() {
                let message = format!("{who} names a rate deck that does not exist");
                let hint = "list the deck under rate_decks:, or give another one or none there";
                self.note([here], "dangling", message, hint);
            }
        }
    }

    fn server(&mut self, server: &Server) {
        let here = || [self.places.key(server.id, "trunk"), self.places.key(server.id, "role")];
        match (server.role, server.trunk) {
            (ServerRole::Slave, None) => self.note(
                here(),
                "missing",
                format!("server {} is a slave without a trunk", server.name),
                "type the trunk over which the master reaches it",
            ),
            (ServerRole::Master, Some(_)) => self.note(
                here(),
                "not_allowed",
                format!("server {} is a master, which is not reached over a trunk", server.name),
                "leave trunk out, or make its role slave",
            ),
            (ServerRole::Slave, Some(trunk)) => {
                self.trunk(trunk, &format!("server {}", server.name), here());
            }
            (ServerRole::Master, None) => {}
        }
    }

    fn flow(&mut self, flow: &ForwardingFlow) {
        let who = format!("forwarding flow {}", flow.name);
        let here = self.places.key(flow.id, "master");
        self.server_as(flow.master, ServerRole::Master, &format!("master of {who}"), here);
        if flow.destinations.is_empty() {
            self.note(
                [self.places.key(flow.id, "destinations")],
                "no_destination",
                format!("{who} has no destination"),
                "list at least one server with a did, one trunk with a number, or one toll_free number",
            );
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, destination) in flow.destinations.iter().enumerate() {
            if let Some(first) = names.insert(&destination.name, at) {
                self.note(
                    [self.places.key(destination.id, "name"), self.places.key(flow.id, "name")],
                    "taken",
                    format!("destinations[{first}] of {who} is named {} too", destination.name),
                    "give each destination of a flow its own name",
                );
            }
            let who = words(flow, destination);
            match &destination.landing {
                Landing::Slave { server, .. } => {
                    let here = self.places.key(destination.id, "server");
                    self.server_as(*server, ServerRole::Slave, &format!("server of {who}"), here);
                }
                Landing::TollFree { .. } if !self.whole.account.toll_free_termination => {
                    let message =
                        format!("{who}: toll-free termination is not enabled on this account");
                    let hint = "contact support; who runs divert enables it by account: \
                                {toll_free_termination: true}";
                    let here = self.places.key(destination.id, "toll_free");
                    let switch = self.places.account_key("toll_free_termination");
                    self.note([here, switch], "toll_free_not_enabled", message, hint);
                }
                Landing::TollFree { .. } => {}
                Landing::Trunk { trunk, .. } => {
                    self.trunk(*trunk, &who, [self.places.key(destination.id, "trunk"), None]);
                }
            }
        }
        if let Some(RepeatAction::Destination(id)) = flow.repeat_caller.map(|rule| rule.then)
            && !flow.destinations.iter().any(|one| one.id == id)
        {
            self.note(
                [self.places.key(flow.id, "repeat_caller/then/destination")],
                "dangling",
                format!("repeated callers of {who} go to a destination that is not there"),
                "type the name of one of the flow's destinations",
            );
        }
        if let Fallback::Number { trunk, .. } = &flow.fallback {
            let here = self.places.key(flow.id, "fallback/trunk");
            self.trunk(*trunk, &format!("the fallback of {who}"), [here, None]);
        }
    }

    fn trunk(&mut self, id: TrunkId, who: &str, here: [Option<String>; 2]) {
        if self.whole.trunk(id).is_none() {
            let message = format!("{who} names a trunk that does not exist");
            self.note(here, "dangling", message, "type the name of one of the trunks");
        }
    }

    /// `what` (`master of forwarding flow x`) must be a server of this role.
    fn server_as(&mut self, id: ServerId, role: ServerRole, what: &str, here: Option<String>) {
        match self.whole.server(id) {
            None => {
                let message = format!("the {what} does not exist");
                self.note([here], "dangling", message, format!("type the name of a {role}"));
            }
            Some(server) if server.role != role => self.note(
                [here, self.places.key(id, "role")],
                "wrong_role",
                format!(
                    "{} is the {what} but its role is {}, not {role}",
                    server.name, server.role
                ),
                format!("type the name of a {role} there, or change the role"),
            ),
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
                self.server_as(number.server, ServerRole::Master, &what, here.clone());
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
