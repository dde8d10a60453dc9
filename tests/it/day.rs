//! A day of calls run through another configuration, against figures worked out by hand.

use std::collections::{BTreeMap, BTreeSet};

use divert::harness::day::{Figures, LoggedCall, Period, Share, logged, replay};
use divert::model::billing::{Micros, Rounding};
use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, EndedBy, Outcome};
use divert::model::configuration::Configuration;
use divert::model::document::Unnamed;
use divert::model::id::{
    BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, RateDeckId, ServerId,
};
use divert::model::number::{Caller, Did};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::objects::rate_deck::{Rate, RateDeck};
use divert::model::time::Timestamp;
use divert::routing::snapshot::Snapshot;
use divert::yaml;

const PRESENT: &str = "\
servers:
  - { name: pbx, role: master }
trunks:
  - { name: carrier, address: 10.0.0.2 }
forwarding_flows:
  - name: sales
    master: pbx
    dids: [\"800\"]
    destinations:
      - { name: a, trunk: carrier, number: \"1001\", weight: 50 }
      - { name: b, trunk: carrier, number: \"1002\", weight: 50 }
";
const FROM: Timestamp = Timestamp(1_795_269_600_000);
const SEC: i64 = 1_000;

/// Configurations of one history: what has a name keeps its id.
struct World {
    configuration: Configuration,
    minted: u128,
}

impl World {
    fn new() -> Self {
        let mut world = Self { configuration: Configuration::default(), minted: 0 };
        world.configuration = world.draft(PRESENT);
        world
    }

    /// A document read over the present configuration.
    fn draft(&mut self, text: &str) -> Configuration {
        let minted = &mut self.minted;
        let mut mint = || {
            *minted += 1;
            *minted
        };
        let read = yaml::read_configuration(text, &self.configuration, Unnamed::Keep, &mut mint);
        read.unwrap_or_else(|problems| panic!("{problems:?}")).configuration
    }

    fn edited(&mut self, edits: &[(&str, &str)]) -> Configuration {
        let mut text = PRESENT.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        self.draft(&text)
    }

    fn destination(&self, name: &str) -> DestinationId {
        let flows = self.configuration.forwarding_flows.iter();
        let mut all = flows.flat_map(|flow| &flow.destinations);
        all.find(|one| one.name == name).unwrap().id
    }

    /// A call that began so many seconds into the period, with its attempts one after the other:
    /// where, what came of it, after how many seconds, and how long the conversation was.
    fn call(&self, id: u128, at: i64, attempts: &[(&str, Outcome, i64, i64)]) -> LoggedCall {
        let began = FROM.plus_ms(at * SEC);
        let mut now = began;
        let mut legs = Vec::new();
        let mut talk_ms = 0;
        for (no, &(name, outcome, after, talk)) in (1..).zip(attempts) {
            let over = now.plus_ms(after * SEC);
            let is_answer = outcome == Outcome::Answered;
            legs.push(LegRecord {
                call: CallId::new(id),
                no,
                destination: Some(self.destination(name)),
                trunk: None,
                name: name.to_owned(),
                endpoint: String::new(),
                started_at: now,
                ringing_at: Some(now.plus_ms(SEC)),
                answered_at: is_answer.then_some(over),
                ended_at: Some(over.plus_ms(talk * SEC)),
                outcome: Some(outcome),
                cause: None,
                sip_code: None,
            });
            talk_ms += talk * SEC;
            now = over.plus_ms(talk * SEC);
        }
        let result = match attempts.last().map(|(_, outcome, ..)| outcome) {
            Some(Outcome::Answered) => CallResult::Answered,
            Some(Outcome::Abandoned) => CallResult::Abandoned,
            _ => CallResult::NoAnswer,
        };
        let flow = &self.configuration.forwarding_flows[0];
        let call = CallRecord {
            id: CallId::new(id),
            account: DEFAULT_ACCOUNT,
            did: "800".parse().unwrap(),
            caller: Caller { number: format!("+1202555{id:04}"), name: String::new() },
            caller_key: None,
            session: CallId::new(id),
            is_repeat: false,
            flow: Some((flow.id, flow.name.clone())),
            is_test: false,
            status: CallStatus::Ended,
            started_at: began,
            answered_at: None,
            ended_at: Some(now),
            talk_ms,
            result: Some(result),
            ended_by: Some(EndedBy::Caller),
            cause: None,
            channel: ChannelId(String::new()),
            bridge: BridgeId(String::new()),
        };
        LoggedCall { call, master: Some(flow.master), legs }
    }
}

fn period() -> Period {
    Period { from: FROM, to: FROM.plus_ms(3_600 * SEC), flow: None }
}

fn run(configuration: &Configuration, calls: &[LoggedCall]) -> Figures {
    let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, configuration.clone())], None);
    replay(&snapshot, calls, period())
}

/// Of each destination: calls, answered, seconds of talk, highest live.
fn shares(figures: &Figures) -> BTreeMap<&str, (u64, u64, i64, u32)> {
    let of = |share: &Share| (share.calls, share.answered, share.talk_ms / SEC, share.highest_live);
    figures.destinations.values().map(|share| (share.name.as_str(), of(share))).collect()
}

fn answered(name: &str, after: i64, talk: i64) -> (&str, Outcome, i64, i64) {
    (name, Outcome::Answered, after, talk)
}

/// Ten calls of a minute each, one after the other, all of which went to `a`.
fn ten(world: &World) -> Vec<LoggedCall> {
    (0..10)
        .map(|no| world.call(u128::try_from(no).unwrap(), no * 100, &[answered("a", 5, 60)]))
        .collect()
}

#[test]
fn weights_move_calls_as_worked_out_by_hand() {
    let mut world = World::new();
    let calls = ten(&world);
    let was = logged(&calls, period());
    assert_eq!(shares(&was), BTreeMap::from([("a", (10, 10, 600, 1))]));
    let present = run(&world.configuration, &calls);
    let half = (5, 5, 300, 1);
    assert_eq!(shares(&present), BTreeMap::from([("a", half), ("b", half)]));
    let draft = world
        .edited(&[("\"1001\", weight: 50", "\"1001\", weight: 70"), ("weight: 50", "weight: 30")]);
    let draft = run(&draft, &calls);
    assert_eq!(shares(&draft), BTreeMap::from([("a", (7, 7, 420, 1)), ("b", (3, 3, 180, 1))]));
    assert_eq!((draft.calls, draft.answered, draft.talk_ms), (10, 10, 600 * SEC));
}

#[test]
fn a_limit_refuses_whoever_comes_too_many_and_lets_in_whoever_comes_after() {
    let mut world = World::new();
    // Three at once, and a fourth in the moment in which the first hangs up.
    let mut calls: Vec<LoggedCall> =
        (0..3).map(|no| world.call(no, 0, &[answered("a", 5, 60)])).collect();
    calls.push(world.call(3, 65, &[answered("b", 5, 60)]));
    let present = run(&world.configuration, &calls);
    assert_eq!((present.answered, present.not_taken), (4, 0));
    assert!(present.refusals.is_empty());
    let draft = world.edited(&[("weight: 50", "max_live: 1")]);
    let draft = run(&draft, &calls);
    assert_eq!((draft.calls, draft.answered, draft.not_taken), (4, 3, 1));
    assert_eq!(draft.refusals, BTreeMap::from([("all_full".to_owned(), 1)]));
    assert!(shares(&draft).values().all(|(.., live)| *live == 1), "{draft:?}");
    assert_eq!(draft.talk_ms, 180 * SEC);
}

#[test]
fn what_failed_fails_again_on_its_own_destination_only() {
    let mut world = World::new();
    let calls = [world.call(1, 0, &[("a", Outcome::Busy, 2, 0), answered("b", 5, 30)])];
    let present = run(&world.configuration, &calls);
    assert_eq!(shares(&present), BTreeMap::from([("a", (1, 0, 0, 1)), ("b", (1, 1, 30, 1))]));
    // With b in front, a is never asked; without b, nobody is left.
    let draft = world.edited(&[("\"1002\", weight: 50", "\"1002\", priority: 0")]);
    assert_eq!(shares(&run(&draft, &calls)), BTreeMap::from([("b", (1, 1, 30, 1))]));
    let draft = world.edited(&[("\"1002\", weight: 50", "\"1002\", state: paused")]);
    let alone = run(&draft, &calls);
    assert_eq!(shares(&alone), BTreeMap::from([("a", (1, 0, 0, 1))]));
    assert_eq!((alone.answered, alone.not_taken), (0, 1));
    assert_eq!(alone.refusals, BTreeMap::from([("mixed".to_owned(), 1)]));
}

#[test]
fn a_shorter_ring_time_loses_those_who_answer_late() {
    let mut world = World::new();
    let calls = [world.call(1, 0, &[answered("a", 20, 30)])];
    assert_eq!(run(&world.configuration, &calls).answered, 1);
    let draft = world.edited(&[("master: pbx", "master: pbx\n    ring_timeout_sec: 10")]);
    let draft = run(&draft, &calls);
    assert_eq!((draft.answered, draft.not_taken), (0, 1));
    assert_eq!(shares(&draft), BTreeMap::from([("a", (1, 0, 0, 1)), ("b", (1, 0, 0, 1))]));
}

#[test]
fn a_caller_who_gave_up_gives_up_again_at_the_same_moment() {
    let mut world = World::new();
    let calls = [world.call(1, 0, &[("a", Outcome::Abandoned, 12, 0)])];
    let draft = world.edited(&[("master: pbx", "master: pbx\n    ring_timeout_sec: 8")]);
    for (configuration, tried) in [(world.configuration.clone(), 1), (draft, 2)] {
        let figures = run(&configuration, &calls);
        assert_eq!((figures.abandoned, figures.answered, figures.not_taken), (1, 0, 0));
        let calls: u64 = figures.destinations.values().map(|share| share.calls).sum();
        assert_eq!(calls, tried, "{figures:?}");
    }
    // Nobody is rung up after the budget either.
    let calls =
        [world.call(1, 0, &[("a", Outcome::NoAnswer, 30, 0), ("b", Outcome::NoAnswer, 30, 0)])];
    let draft = world.edited(&[("master: pbx", "master: pbx\n    ring_budget_sec: 20")]);
    let figures = run(&draft, &calls);
    assert_eq!((figures.not_taken, figures.destinations.len()), (1, 1));
}

#[test]
fn calls_from_before_hold_their_slots_and_count_as_nothing_else() {
    let mut world = World::new();
    let calls = [
        world.call(1, -60, &[answered("a", 5, 65)]),
        world.call(2, 5, &[answered("a", 5, 1)]),
        world.call(3, 15, &[answered("a", 5, 1)]),
        world.call(4, 3_600, &[answered("a", 5, 1)]),
    ];
    let draft = world.edited(&[("\"1001\", weight: 50", "\"1001\", max_live: 1, priority: 0")]);
    let figures = run(&draft, &calls);
    assert_eq!(shares(&figures), BTreeMap::from([("a", (1, 1, 1, 1)), ("b", (1, 1, 1, 1))]));
    assert_eq!(shares(&logged(&calls, period())), BTreeMap::from([("a", (2, 2, 2, 2))]));
}

#[test]
fn the_same_calls_give_the_same_figures_in_whatever_order_they_come() {
    let mut world = World::new();
    let mut calls = ten(&world);
    for no in 0..40 {
        let busy = no % 3 == 0;
        let first = if busy { ("a", Outcome::Busy, 3, 0) } else { answered("a", 7, no) };
        let legs = if busy { vec![first, answered("b", 4, no)] } else { vec![first] };
        calls.push(world.call(100 + u128::try_from(no).unwrap(), no * 13, &legs));
    }
    let limited = world.edited(&[("weight: 50", "max_live: 2")]);
    let figures = run(&limited, &calls);
    assert!(!figures.refusals.is_empty(), "{figures:?}");
    calls.reverse();
    assert_eq!(run(&limited, &calls), figures);
    assert_eq!(logged(&calls, period()).calls, figures.calls);
    // A draft that changes nothing makes no difference.
    let same = world.draft(PRESENT);
    assert_eq!(run(&same, &calls), run(&world.configuration, &calls));
}

/// A call that no destination is sent to because of how the trunk did before is one that nobody
/// tried there: so the log has it too.
#[test]
fn a_trunk_that_fails_is_left_alone_until_one_call_finds_out() {
    let mut world = World::new();
    world.configuration = world.edited(&[
        ("servers:", "servers:\n  - { name: slave, role: slave, trunk: spare }"),
        ("trunks:", "trunks:\n  - { name: spare, address: 10.0.0.3 }"),
        ("trunk: carrier, number: \"1002\", weight: 50", "server: slave, did: b, priority: 2"),
    ]);
    let failing = |world: &World, outcome, sip_code| {
        let mut calls: Vec<LoggedCall> = [0, 2, 4]
            .map(|at| {
                let both = [("a", outcome, 1, 0), answered("b", 5, 1)];
                let mut call = world.call(u128::try_from(at).unwrap(), at, &both);
                call.legs[0].sip_code = sip_code;
                call
            })
            .into();
        // While the circuit is open, and when one call may find out.
        calls.push(world.call(9, 10, &[answered("b", 5, 1)]));
        calls.push(world.call(10, 30, &[answered("a", 5, 1)]));
        calls
    };
    let dead = BTreeMap::from([("a", (4, 1, 1, 1)), ("b", (4, 4, 4, 3))]);
    for (outcome, sip_code) in
        [(Outcome::TrunkFailed, Some(503)), (Outcome::Unreachable, Some(408))]
    {
        let figures = run(&world.configuration, &failing(&world, outcome, sip_code));
        assert_eq!(shares(&figures), dead, "{outcome}");
    }
    // One phone that is not there says nothing of the trunk.
    let figures = run(&world.configuration, &failing(&world, Outcome::Unreachable, Some(480)));
    let alive = BTreeMap::from([("a", (5, 2, 2, 1)), ("b", (3, 3, 3, 3))]);
    assert_eq!(shares(&figures), alive);
    // Where nobody else is left, a dead trunk is why.
    let mut alone = world.configuration.clone();
    alone.forwarding_flows[0].destinations.retain(|one| one.name == "a");
    let figures = run(&alone, &failing(&world, Outcome::TrunkFailed, Some(503)));
    assert_eq!((figures.answered, figures.not_taken), (1, 4));
    assert_eq!(figures.refusals, BTreeMap::from([("all_down".to_owned(), 1)]));
}

#[test]
fn callers_come_back_to_who_answered_them_for_as_long_as_the_draft_says() {
    let mut world = World::new();
    let x = "+12025559999";
    let calls = |x: &str| -> Vec<LoggedCall> {
        let mut calls = ten(&world);
        calls.truncate(4);
        for at in [0, 3] {
            calls[at].call.caller.number = x.to_owned();
        }
        calls
    };
    let (stays, returns) = ((2, 2, 120, 1), (3, 3, 180, 1));
    let by_wheel = BTreeMap::from([("a", stays), ("b", stays)]);
    assert_eq!(shares(&run(&world.configuration, &calls(x))), by_wheel);
    let (known, unknown) = (calls(x), calls("anonymous"));
    let mut with =
        |rule: &str| world.edited(&[("master: pbx", &format!("master: pbx\n    {rule}"))]);
    let sticky = BTreeMap::from([("a", returns), ("b", (1, 1, 60, 1))]);
    let day = with("stickiness: same_day");
    assert_eq!(shares(&run(&day, &known)), sticky);
    assert_eq!(shares(&run(&day, &unknown)), by_wheel, "nobody knows who that is");
    // From the answer at 5 s to the second call are 295 s.
    let window = |sec| format!("stickiness: {{ rolling_sec: {sec} }}");
    assert_eq!(shares(&run(&with(&window(295)), &known)), sticky);
    assert_eq!(shares(&run(&with(&window(294)), &known)), by_wheel);
    let reject = with("repeat_caller: { calls: 1, within_sec: 300, then: reject }");
    let figures = run(&reject, &known);
    assert_eq!(figures.refusals, BTreeMap::from([("repeat_caller".to_owned(), 1)]));
    assert_eq!((figures.answered, figures.not_taken), (3, 1));
}

#[test]
fn caps_count_what_the_replayed_calls_use_up() {
    let mut world = World::new();
    // Six conversations of 61 seconds, two minutes each, and one 1900 seconds into the period.
    let talks = |at: i64| world.call(u128::try_from(at).unwrap(), at, &[answered("a", 5, 61)]);
    let calls = [0, 100, 200, 300, 400, 500, 1_900].map(talks);
    let second = ("\"1002\", weight: 50", "\"1002\", priority: 2");
    let mut of_a = |throttle: &str| {
        let first = format!("\"1001\", {throttle}");
        let draft = world.edited(&[("\"1001\", weight: 50", &first), second]);
        let figures = run(&draft, &calls);
        assert_eq!((figures.answered, figures.not_taken), (7, 0), "{throttle}");
        let shares = shares(&figures);
        assert_eq!(shares["a"].0 + shares["b"].0, 7, "{throttle}");
        shares["a"].0
    };
    let cap = |rest: &str| format!("caps: [{{ {rest} }}]");
    assert_eq!(of_a(&cap("per: day, count: attempts, max: 5")), 5);
    assert_eq!(of_a(&cap("per: day, count: answers, max: 2")), 2);
    assert_eq!(of_a(&cap("per: day, count: billable_minutes, max: 6")), 3);
    // There the hour changes 1800 seconds into the period.
    let hour = cap("per: hour, count: answers, max: 2") + ", time_zone: Asia/Kolkata";
    assert_eq!(of_a(&hour), 3);
    assert_eq!(of_a("spacing_sec: 150"), 4);
    // A cap of the flow refuses the call, and says so.
    let flow = "master: pbx\n    caps: [{ per: day, count: attempts, max: 4 }]";
    let figures = run(&world.edited(&[("master: pbx", flow)]), &calls);
    assert_eq!((figures.calls, figures.answered, figures.not_taken), (7, 4, 3));
    assert_eq!(figures.refusals, BTreeMap::from([("flow_capped".to_owned(), 3)]));
    assert_eq!(figures.talk_ms, 4 * 61 * SEC);
}

#[test]
fn a_number_that_two_masters_have_is_a_number_on_each() {
    let mut world = World::new();
    let other = "  - name: support\n    master: pbx-2\n    dids: [\"800\"]\n    destinations:\n      \
                 - { name: c, trunk: carrier, number: \"1003\" }\n";
    let masters = "servers:\n  - { name: pbx-2, role: master }\n  - { name: pbx-3, role: master }";
    world.configuration = world.draft(&(PRESENT.replace("servers:", masters) + other));
    let present = world.configuration.clone();
    let named = |name: &str| {
        let mut flows = present.forwarding_flows.iter();
        flows.position(|flow| flow.name == name).unwrap()
    };
    let (sales, support) = (named("sales"), named("support"));
    let [pbx, pbx_2] = [sales, support].map(|at| present.forwarding_flows[at].master);
    // Four calls of sales, and three of support, one after the other.
    let mut calls = ten(&world);
    calls.truncate(7);
    for (no, one) in calls.iter_mut().enumerate() {
        let (at, name) = if no < 4 { (sales, "a") } else { (support, "c") };
        let flow = &present.forwarding_flows[at];
        one.call.flow = Some((flow.id, flow.name.clone()));
        one.master = Some(flow.master);
        one.legs[0].destination = Some(world.destination(name));
    }
    let (half, three) = ((2, 2, 120, 1), (3, 3, 180, 1));
    let of_sales = BTreeMap::from([("a", half), ("b", half)]);
    let apart = BTreeMap::from([("a", half), ("b", half), ("c", three)]);
    assert_eq!(shares(&run(&present, &calls)), apart);

    // The flow of the second master goes: its number is nobody's there, whoever has it elsewhere.
    let mut gone = present.clone();
    gone.forwarding_flows.remove(support);
    let figures = run(&gone, &calls);
    assert_eq!(shares(&figures), of_sales);
    assert_eq!((figures.answered, figures.not_taken), (4, 3));
    // Another flow of that master has the number.
    let mut heir = present.clone();
    heir.forwarding_flows[support].id = ForwardingFlowId::new(99);
    assert_eq!(shares(&run(&heir, &calls)), apart);
    // The flow moves to a third master, and the number with it.
    let mut moved = present.clone();
    let pbx_3 = moved.servers.iter().find(|server| server.name == "pbx-3").unwrap().id;
    moved.forwarding_flows[support].master = pbx_3;
    assert_eq!(shares(&run(&moved, &calls)), apart);

    // Nobody owned the number when they called.
    for one in &mut calls {
        one.call.flow = None;
    }
    assert_eq!(shares(&run(&present, &calls)), apart);
    assert_eq!(shares(&run(&moved, &calls)), of_sales);
    // Nor is it known where: who could have had them is only clear of one.
    for one in &mut calls {
        one.master = None;
    }
    assert_eq!(run(&present, &calls).not_taken, 7);
    assert_eq!(run(&gone, &calls).answered, 7);

    // A flow's own number is no caller's, also if another flow has it too.
    let mut own = present;
    let did: Did = "+12025550100".parse().unwrap();
    for flow in &mut own.forwarding_flows {
        flow.dids = vec![did.clone()];
    }
    let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, own)], None);
    let masters: BTreeSet<ServerId> =
        snapshot.owners(did.as_str()).map(|plan| plan.flow.master).collect();
    assert_eq!(masters, BTreeSet::from([pbx, pbx_2]));
    let caller = Caller { number: did.to_string(), name: String::new() };
    assert!(snapshot.flows().all(|plan| snapshot.caller_key(plan, &caller).is_none()));
}

#[test]
fn one_flow_alone_is_shown_with_the_others_still_in_its_way() {
    let mut world = World::new();
    let text = PRESENT.replace(
        "{ name: carrier, address: 10.0.0.2 }",
        "{ name: carrier, address: 10.0.0.2, max_live: 1 }",
    ) + "  - name: other\n    master: pbx\n    dids: [\"900\"]\n    destinations:\n      \
           - { name: c, trunk: carrier, number: \"1003\" }\n";
    world.configuration = world.draft(&text);
    let calls = [
        LoggedCall {
            call: CallRecord {
                did: "900".parse().unwrap(),
                ..world.call(1, 0, &[answered("a", 5, 60)]).call
            },
            ..world.call(1, 0, &[answered("a", 5, 60)])
        },
        world.call(2, 10, &[answered("a", 5, 60)]),
    ];
    let flow = world.configuration.forwarding_flows.iter().find(|flow| flow.name == "sales");
    let only = Period { flow: Some(flow.unwrap().id), ..period() };
    let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, world.configuration.clone())], None);
    let figures = replay(&snapshot, &calls, only);
    assert_eq!((figures.calls, figures.not_taken, figures.destinations.len()), (1, 1, 0));
    assert_eq!(figures.refusals, BTreeMap::from([("all_full".to_owned(), 1)]));
}

#[test]
fn a_draft_costs_what_its_destinations_cost() {
    let mut world = World::new();
    let rate = |prefix: &str, per_minute: &str| Rate {
        prefix: prefix.parse().unwrap(),
        per_minute: per_minute.parse().unwrap(),
        increment: "60/60".parse().unwrap(),
    };
    let deck = RateDeckId::new(9);
    world.configuration.rate_decks.push(RateDeck {
        id: deck,
        name: "deck".into(),
        rates: vec![rate("1001", "0.02"), rate("1002", "0.05")].into(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
    });
    world.configuration.account.rate_deck = Some(deck);
    // Ten conversations of 61 seconds: two minutes each.
    let calls: Vec<LoggedCall> =
        (0..10).map(|no| world.call(no, 0, &[answered("a", 5, 61)])).collect();
    let cost = |figures: &Figures| {
        let costs = figures.destinations.values().map(|share| share.cost["USD"].to_string());
        (figures.cost["USD"].to_string(), costs.collect::<Vec<_>>())
    };
    let costs = |all: &str, each: [&str; 2]| (all.to_owned(), each.map(String::from).to_vec());
    let present = run(&world.configuration, &calls);
    assert_eq!(cost(&present), costs("0.70", ["0.20", "0.50"]));
    let mut draft = world.configuration.clone();
    let destinations = &mut draft.forwarding_flows[0].destinations;
    (destinations[0].weight, destinations[1].weight) = (70, 30);
    assert_eq!(cost(&run(&draft, &calls)), costs("0.58", ["0.28", "0.30"]));
    let mut figures = logged(&calls, period());
    figures.charge(Some(world.destination("a")), Micros(400_000), "USD");
    figures.charge(None, Micros(1), "USD");
    assert_eq!(cost(&figures), ("0.400001".to_owned(), vec!["0.40".to_owned()]));
}

#[test]
fn a_fallback_number_holds_its_slots_like_any_other() {
    let mut world = World::new();
    // Two at once find both destinations busy, and come to the fallback number.
    let mut calls = vec![
        world.call(
            1,
            0,
            &[("a", Outcome::Busy, 5, 0), ("b", Outcome::Busy, 5, 0), answered("a", 5, 60)],
        ),
        world.call(2, 30, &[answered("a", 5, 10)]),
        world.call(3, 90, &[answered("a", 5, 10)]),
    ];
    let carrier = Some(world.configuration.trunks[0].id);
    calls[0].legs[2] = LegRecord { destination: None, trunk: carrier, ..calls[0].legs[2].clone() };
    let number = ("master: pbx", "master: pbx\n    fallback: { trunk: carrier, number: \"1009\" }");
    let limited = ("10.0.0.2", "10.0.0.2, max_live: 1");
    let draft = world.edited(&[number, limited]);
    let figures = run(&draft, &calls);
    assert_eq!((figures.answered, figures.not_taken), (1, 2), "{figures:?}");
    assert_eq!(figures.refusals, BTreeMap::from([("all_full".to_owned(), 1)]));
    // The same where the call with the fallback number began before the period.
    calls[0].call.started_at = FROM.plus_ms(-SEC);
    let figures = run(&draft, &calls);
    assert_eq!((figures.calls, figures.answered, figures.not_taken), (2, 1, 1), "{figures:?}");
}

#[test]
fn what_a_fallback_number_answered_no_destination_did() {
    let mut world = World::new();
    let mut call = world.call(1, 0, &[("a", Outcome::Busy, 5, 0), answered("b", 5, 30)]);
    call.legs[1].destination = None;
    let calls = [call, world.call(2, 300, &[answered("a", 5, 60)])];
    let draft = world.edited(&[("\"1001\", weight: 50", "\"1001\", weight: 60")]);
    let was = logged(&calls, period());
    assert_eq!(shares(&was), BTreeMap::from([("a", (2, 1, 60, 1))]));
    for figures in [was, run(&world.configuration, &calls), run(&draft, &calls)] {
        assert_eq!((figures.calls, figures.answered, figures.not_taken), (2, 1, 1), "{figures:?}");
        assert_eq!(figures.talk_ms, 60 * SEC, "{figures:?}");
    }
}
