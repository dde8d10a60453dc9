//! Any two configurations, and any damage to a document.

use divert::model::billing::Micros;
use divert::model::id::{
    DestinationId, ForwardingFlowId, NumberId, RateDeckId, ScheduleId, ServerId, SoundId, TrunkId,
};
use divert::model::number_plan::NumberPlan;
use divert::model::objects::account::AccountSettings;
use divert::model::objects::destination::Destination;
use divert::model::objects::rate_deck::{Rate, RateDeck};
use divert::model::objects::schedule::Schedule;
use divert::model::objects::server::{Server, ServerRole};
use divert::model::objects::sound::{Sound, SoundSource};
use divert::model::objects::trunk::{Reach, Trunk};
use divert::model::opening_hours::OpeningHours;
use divert::model::stickiness::{RepeatAction, RepeatRule, Stickiness, StickyOn, StickyWindow};
use divert::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, Throttle, VolumeCap};
use divert::model::time::Zone;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;

/// Ids from 1, some left out, with names dealt anew each time, so that names move about.
fn objects() -> impl Strategy<Value = Vec<(u128, String)>> {
    let names = Just(vec!["a", "b", "c", "d"]).prop_shuffle();
    (subsequence(vec![1, 2, 3, 4], 1..=4), names).prop_map(|(ids, names)| {
        ids.into_iter().zip(names.into_iter().map(str::to_owned)).collect()
    })
}

/// Chooses below a number, as chance has it.
struct Dice<'a>(&'a mut dyn FnMut(usize) -> usize);

impl Dice<'_> {
    fn below(&mut self, most: usize) -> usize {
        (self.0)(most)
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn number(&mut self, from: u32, to: u32) -> u32 {
        self.one_of(&[from, from + 1, to])
    }

    /// `None` as often as not.
    fn perhaps<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.yes() { Some(make(self)) } else { None }
    }

    fn zone(&mut self) -> Zone {
        self.one_of(&["UTC", "Europe/Berlin", "America/Chicago"]).parse().unwrap()
    }

    fn deck(&mut self, id: u128, name: String) -> RateDeck {
        let prefixes = ["", "1", "1800", "44"];
        RateDeck {
            id: RateDeckId::new(id),
            name,
            rates: prefixes[..=self.below(4)]
                .iter()
                .map(|prefix| Rate {
                    prefix: prefix.parse().unwrap(),
                    per_minute: Micros(self.one_of(&[0, 1, 12_000, 2_500_000])),
                    increment: self.one_of(&["60/60", "1/1", "30/6"]).parse().unwrap(),
                })
                .collect(),
            bills_ring_time: self.yes(),
            rounding: self.one_of(&["up", "down", "nearest"]).parse().unwrap(),
            decimals: self.one_of(&[0, 4, 6]),
        }
    }

    fn account(&mut self, decks: &[RateDeck]) -> AccountSettings {
        AccountSettings {
            time_zone: self.zone(),
            max_live: self.perhaps(|dice| dice.number(1, 100_000)),
            toll_free_termination: self.yes(),
            prepaid: self.yes(),
            currency: self.one_of(&["USD", "EUR"]).parse().unwrap(),
            rate_deck: self.deck_of(decks),
        }
    }

    fn deck_of(&mut self, decks: &[RateDeck]) -> Option<RateDeckId> {
        if decks.is_empty() { None } else { self.perhaps(|dice| dice.one_of(decks).id) }
    }

    fn schedule(&mut self) -> OpeningHours {
        let hours = |dice: &mut Self| -> Vec<_> {
            let days: [&[&str]; 4] = [
                &[],
                &["09:00-17:00"],
                &["00:00-24:00"],
                &["08:00-12:00", "13:00-18:30", "22:00-02:00"],
            ];
            dice.one_of(&days).iter().map(|span| span.parse().unwrap()).collect()
        };
        let mut schedule = OpeningHours::default();
        for day in 0..7 {
            schedule.weekly[day] =
                if day > 0 && self.yes() { schedule.weekly[day - 1].clone() } else { hours(self) };
        }
        for date in &["2026-12-24", "2026-12-25", "2028-02-29"][..self.below(4)] {
            schedule.holidays.insert(date.parse().unwrap(), hours(self));
        }
        if !schedule.has_hours() {
            schedule.weekly[6] = vec!["10:00-11:00".parse().unwrap()];
        }
        schedule
    }

    /// Of its own, or those of a schedule.
    fn hours(&mut self, whole: &Configuration) -> Option<Hours> {
        match self.below(3) {
            0 => Some(Hours::Own(self.schedule())),
            1 if !whole.schedules.is_empty() => {
                Some(Hours::Schedule(self.one_of(&whole.schedules).id))
            }
            _ => None,
        }
    }

    fn tags(&mut self) -> Vec<Tag> {
        let all = ["east", "lead-2", "x"].map(|tag| tag.parse().unwrap());
        all[..self.below(4)].to_vec()
    }

    fn sound(&mut self, id: u128, name: String) -> Sound {
        let file = SoundSource::File("custom/hello".parse().unwrap());
        let text = SoundSource::Text("Hello: 1, \"2\" # 3".parse().unwrap());
        Sound {
            id: SoundId::new(id),
            name,
            language: self.one_of(&["en", "pt-BR"]).parse().unwrap(),
            source: self.one_of(&[file, text]),
        }
    }

    fn throttle(&mut self) -> Throttle {
        let periods = [RatePeriod::Hour, RatePeriod::Minute, RatePeriod::Second];
        let caps = [
            (CapPeriod::Day, CapCount::Answers),
            (CapPeriod::Day, CapCount::Attempts),
            (CapPeriod::Total, CapCount::BillableMinutes),
        ];
        Throttle {
            rate: self.perhaps(|dice| ArrivalRate {
                calls: dice.number(1, 10_000),
                per: dice.one_of(&periods),
                burst: dice.number(1, 10_000),
            }),
            spacing_sec: self.perhaps(|dice| dice.number(1, 86_400)),
            caps: caps[..self.below(4)]
                .iter()
                .map(|&(per, count)| VolumeCap { per, count, max: self.number(1, 100_000_000) })
                .collect(),
        }
    }

    fn stickiness(&mut self) -> Stickiness {
        let rolling =
            StickyWindow::Rolling { sec: self.number(60, 31_536_000), sliding: self.yes() };
        Stickiness {
            window: self.one_of(&[StickyWindow::Never, StickyWindow::SameDay, rolling]),
            on: self.one_of(&[StickyOn::Answered, StickyOn::Offered]),
            rebind: self.yes(),
            beats_priority: self.yes(),
        }
    }

    fn repeat(&mut self, destinations: &[Destination]) -> RepeatRule {
        let own = RepeatAction::Destination(self.one_of(destinations).id);
        let then = [own, RepeatAction::Different, RepeatAction::Reject, RepeatAction::Tag];
        RepeatRule {
            calls: self.number(1, 100),
            within_sec: self.number(1, 2_678_400),
            count: self.one_of(&["answered", "any"]).parse().unwrap(),
            then: self.one_of(&then),
        }
    }

    fn plan(&mut self) -> NumberPlan {
        NumberPlan {
            country: self.perhaps(|dice| dice.one_of(&["1", "44"]).parse().unwrap()),
            national_prefix: self.perhaps(|_| "0".parse().unwrap()),
            international_prefix: self.perhaps(|_| "00".parse().unwrap()),
        }
    }

    fn landing(&mut self, whole: &Configuration) -> Landing {
        let slaves: Vec<_> =
            whole.servers.iter().filter(|one| one.role == ServerRole::Slave).collect();
        match self.below(3) {
            0 if whole.account.toll_free_termination => {
                Landing::TollFree { number: "8005550199".parse().unwrap() }
            }
            1 if !slaves.is_empty() => {
                Landing::Slave { server: self.one_of(&slaves).id, did: "2".parse().unwrap() }
            }
            _ => {
                let trunk = self.one_of(&whole.trunks).id;
                Landing::Trunk { trunk, number: "1".parse().unwrap() }
            }
        }
    }

    fn destination(&mut self, id: u128, name: String, whole: &Configuration) -> Destination {
        Destination {
            id: DestinationId::new(id),
            name,
            landing: self.landing(whole),
            priority: self.one_of(&[-100, 1, 100]),
            weight: self.one_of(&[0, 1, 1_000]),
            max_live: self.perhaps(|dice| dice.number(1, 100_000)),
            ring_timeout_sec: self.perhaps(|dice| dice.number(5, 120)),
            state: self.one_of(&["active", "disabled", "paused"]).parse().unwrap(),
            time_zone: self.perhaps(Self::zone),
            schedule: self.hours(whole),
            throttle: self.throttle(),
        }
    }

    fn flow(&mut self, id: u128, name: String, whole: &Configuration) -> ForwardingFlow {
        let first = self.below(3);
        let destinations: Vec<Destination> = (first..=first + self.below(3))
            .map(|at| at % 3)
            .map(|at| {
                let id = 100 * id + u128::try_from(at).unwrap();
                self.destination(id, format!("d{at}"), whole)
            })
            .collect();
        let masters: Vec<_> =
            whole.servers.iter().filter(|one| one.role == ServerRole::Master).collect();
        let fallback =
            Fallback::Number { trunk: self.one_of(&whole.trunks).id, number: "3".parse().unwrap() };
        ForwardingFlow {
            id: ForwardingFlowId::new(id),
            name,
            master: self.one_of(&masters).id,
            dids: vec![],
            state: self.one_of(&["active", "paused"]).parse().unwrap(),
            spread: self.one_of(&["round_robin", "weighted"]).parse().unwrap(),
            ringback: self.one_of(&["early_media", "ring"]).parse().unwrap(),
            ring_timeout_sec: self.number(5, 120),
            ring_budget_sec: self.number(5, 600),
            max_attempts: self.number(1, 20),
            max_call_sec: self.number(10, 43_200),
            fallback: self.one_of(&[Fallback::Dialplan, Fallback::HangUp(None), fallback]),
            time_zone: self.perhaps(Self::zone),
            schedule: self.hours(whole),
            throttle: self.throttle(),
            stickiness: self.stickiness(),
            repeat_caller: self.perhaps(|dice| dice.repeat(&destinations)),
            caller_numbers: self.plan(),
            redial_gap_sec: self.number(0, 900),
            tags: self.tags(),
            destinations,
        }
    }
}

prop_compose! {
    pub fn configuration()(
        decks in objects(),
        trunks in objects(),
        servers in objects(),
        flows in objects(),
        schedules in objects(),
        sounds in objects(),
        picks in prop::collection::vec(any::<Index>(), 197),
        numbers in prop::collection::vec(0..6_usize, 8),
    ) -> Configuration {
        let mut picks = picks.into_iter().cycle();
        let mut pick = |from: usize| picks.next().map_or(0, |index| index.index(from));
        let mut dice = Dice(&mut pick);
        let decks = &decks[dice.below(2)..];
        let rate_decks: Vec<RateDeck> =
            decks.iter().map(|(id, name)| dice.deck(*id, name.clone())).collect();
        let account = dice.account(&rate_decks);
        let trunks: Vec<Trunk> = trunks
            .into_iter()
            .enumerate()
            .map(|(at, (id, name))| Trunk {
                id: TrunkId::new(id),
                name,
                reach: Reach::Endpoint("e".parse().unwrap()),
                max_live: dice.perhaps(|dice| dice.number(1, 100_000)),
                carries_toll_free: at == 0 || dice.yes(),
                rate_deck: dice.deck_of(&rate_decks),
            })
            .collect();
        let masters = 1 + dice.below(servers.len());
        let servers: Vec<Server> = servers
            .into_iter()
            .enumerate()
            .map(|(at, (id, name))| Server {
                id: ServerId::new(id),
                name,
                role: if at < masters { ServerRole::Master } else { ServerRole::Slave },
                trunk: (at >= masters).then(|| dice.one_of(&trunks).id),
                max_live: dice.perhaps(|dice| dice.number(1, 100_000)),
            })
            .collect();
        let schedules = schedules[dice.below(2)..].iter();
        let schedules = schedules.map(|(id, name)| Schedule {
            id: ScheduleId::new(*id),
            name: name.clone(),
            opening: dice.schedule(),
        });
        let schedules: Vec<Schedule> = schedules.collect();
        let sounds = sounds[dice.below(2)..].iter();
        let sounds = sounds.map(|(id, name)| dice.sound(*id, name.clone())).collect();
        let mut whole = Configuration {
            account,
            rate_decks,
            schedules,
            servers,
            sounds,
            trunks,
            ..Configuration::default()
        };
        for (id, name) in flows {
            let flow = dice.flow(id, name, &whole);
            whole.forwarding_flows.push(flow);
        }
        // Each DID goes to a flow or to nobody; its row has the same id in every configuration.
        for (did, owner) in numbers.into_iter().enumerate() {
            let name = format!("N-{did}");
            let server = match whole.forwarding_flows.get_mut(owner) {
                Some(flow) => {
                    flow.dids.push(name.parse().unwrap());
                    flow.master
                }
                None if owner == 4 => whole.servers[dice.below(masters)].id,
                None => continue,
            };
            let at = whole.servers.iter().position(|one| one.id == server).unwrap();
            let server_no: String = whole.servers[at].id.to_string();
            let salt: u128 = server_no.bytes().map(u128::from).sum();
            whole.numbers.push(Number {
                id: NumberId::new(1_000 * salt + u128::try_from(did).unwrap()),
                did: name.parse().unwrap(),
                server,
                forwarding_flow: whole.forwarding_flows.get(owner).map(|flow| flow.id),
                tags: dice.tags(),
            });
        }
        whole.sort();
        whole
    }
}

/// Replaces one node of a value, chosen by counting.
fn damage(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
    }
    *at = at.wrapping_sub(1);
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| damage(item, at, with)),
        Value::Object(object) => object.values_mut().for_each(|item| damage(item, at, with)),
        _ => {}
    }
}

fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,70}".prop_map(Value::from),
        Just(json!([])),
        Just(json!([[null]])),
        Just(json!({})),
        Just(json!({"name": {"a/b~c": 1}})),
    ]
}

proptest! {
    #[test]
    fn the_changes_lead_from_any_configuration_to_any_other(
        old in configuration(),
        new in configuration(),
    ) {
        prop_assert_eq!(check::check(&old), []);
        let changes = diff(&old, &new);
        prop_assert_eq!(&apply(&old, &changes), &new);
        prop_assert_eq!(describe(&old, &new).is_empty(), changes.is_empty());
        prop_assert_eq!(changes.is_empty(), old == new);
    }

    #[test]
    fn what_is_written_is_read_into_anything(
        old in configuration(),
        new in configuration(),
    ) {
        let written = write_document(&new);
        let same = read_document(&written, &new, Unnamed::Prune, &mut minter()).unwrap();
        prop_assert_eq!(&same.configuration, &new);
        prop_assert_eq!(same.warnings, []);
        prop_assert_eq!(&yaml::read(&yaml::write(&written)).unwrap().value, &written);
        // Into another one, only the ids are others; a name that the old one gives to
        // something else must not matter.
        let mint = &mut mint_from(1 << 64);
        let pruned = read_document(&written, &old, Unnamed::Prune, mint).unwrap();
        let read = pruned.configuration;
        prop_assert_eq!(check::check(&read), []);
        prop_assert_eq!(&apply(&old, &diff(&old, &read)), &read);
        let nothing = Configuration::default();
        prop_assert_eq!(describe(&nothing, &read), describe(&nothing, &new));
    }

    #[test]
    fn any_damage_is_told_and_nothing_panics(at in 0..150_usize, with in junk()) {
        let whole = read(distribution::EVERYTHING);
        let mut written = write_document(&whole);
        damage(&mut written, &mut at.clone(), &with);
        for unnamed in [Unnamed::Keep, Unnamed::Prune] {
            match read_document(&written, &whole, unnamed, &mut mint_from(1 << 64)) {
                Ok(reading) => prop_assert_eq!(check::check(&reading.configuration), []),
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        prop_assert!(!problem.message.is_empty(), "{:?}", problem);
                        prop_assert!(!problem.hint.is_empty(), "{:?}", problem);
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c:\\[\\]{},&*!|>#'\"%@?~0-9. \\n\\t]{0,60}") {
        if let Ok(document) = yaml::read(&text) {
            let nothing = Configuration::default();
            let _ = read_document(&document.value, &nothing, Unnamed::Keep, &mut minter());
        }
    }
}
