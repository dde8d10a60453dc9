use proptest::prelude::*;

use super::*;
use crate::model::objects::rate_deck::{Rate, RateDeck};

fn tariff(per_minute: &str, increment: &str) -> Tariff {
    Tariff {
        deck: RateDeckId::new(1),
        prefix: Prefix::default(),
        per_minute: per_minute.parse().unwrap(),
        increment: increment.parse().unwrap(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 6,
        currency: Currency::default(),
    }
}

fn deck(prefixes: &[&str]) -> RateDeck {
    let rate = |prefix: &&str| Rate {
        prefix: prefix.parse().unwrap(),
        per_minute: Micros(i64::try_from(prefix.len()).unwrap()),
        increment: "1/1".parse().unwrap(),
    };
    RateDeck {
        id: RateDeckId::new(1),
        name: "a".to_owned(),
        rates: prefixes.iter().map(rate).collect(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: RateDeck::DECIMALS,
    }
}

#[test]
fn seconds_are_billed_by_the_increment() {
    for (increment, ms, billed) in [
        ("1/1", 0, 1),
        ("1/1", 1, 1),
        ("1/1", 1_000, 1),
        ("1/1", 1_001, 2),
        ("1/1", 59_999, 60),
        ("6/6", 0, 6),
        ("6/6", 6_000, 6),
        ("6/6", 6_001, 12),
        ("30/6", 0, 30),
        ("30/6", 30_000, 30),
        ("30/6", 30_001, 36),
        ("30/6", 36_000, 36),
        ("30/6", 36_001, 42),
        ("60/60", 0, 60),
        ("60/60", 60_000, 60),
        ("60/60", 60_001, 120),
        ("60/60", 3_600_000, 3_600),
        ("60/1", 61_500, 62),
        ("1/60", 1_001, 61),
    ] {
        // A clock that went backwards rang and talked for no time.
        for ms in if ms == 0 { vec![0, -5] } else { vec![ms] } {
            let charge = tariff("0.6", increment).charge(9_000, ms);
            assert_eq!(charge.billed_sec, billed, "{increment} {ms}");
            assert_eq!(charge.amount, Micros(10_000 * billed), "{increment} {ms}");
        }
    }
}

#[test]
fn ring_time_counts_only_where_the_deck_says_so() {
    let mut tariff = tariff("0.6", "6/6");
    assert_eq!(tariff.charge(20_000, 10_000).billed_sec, 12);
    tariff.bills_ring_time = true;
    assert_eq!(tariff.charge(20_000, 10_000).billed_sec, 30);
    // Rounded once for both together: 500 ms and 500 ms are one second.
    tariff.increment = "1/1".parse().unwrap();
    assert_eq!(tariff.charge(500, 500).billed_sec, 1);
    assert_eq!(tariff.charge(-500, 500).billed_sec, 1);
}

#[test]
fn an_amount_is_rounded_once_to_the_digits_of_the_deck() {
    use Rounding::{Down, Nearest, Up};
    // 17 s at 0.10 a minute are 0.028333…
    for (decimals, down, nearest, up) in [
        (0, 0, 0, 1_000_000),
        (1, 0, 0, 100_000),
        (2, 20_000, 30_000, 30_000),
        (3, 28_000, 28_000, 29_000),
        (4, 28_300, 28_300, 28_400),
        (5, 28_330, 28_330, 28_340),
        (6, 28_333, 28_333, 28_334),
    ] {
        for (rounding, amount) in [(Down, down), (Nearest, nearest), (Up, up)] {
            let tariff = Tariff { rounding, decimals, ..tariff("0.10", "1/1") };
            let charge = tariff.charge(0, 17_000);
            assert_eq!(charge.amount, Micros(amount), "{rounding} to {decimals}");
        }
    }
    // Half a last digit goes up, and what is exact stays.
    let half = Tariff { rounding: Nearest, decimals: 2, ..tariff("0.03", "30/30") };
    assert_eq!(half.charge(0, 1_000).amount, Micros(20_000));
    let exact = Tariff { decimals: 2, ..tariff("0.06", "30/30") };
    assert_eq!(exact.charge(0, 1_000).amount, Micros(30_000));
    assert_eq!(tariff("0", "60/60").charge(0, 1_000).amount, Micros(0));
}

#[test]
fn the_largest_values_do_not_overflow() {
    let most = Rate::MAX_PER_MINUTE;
    let day = Tariff { per_minute: most, ..tariff("0", "3600/3600") }.charge(0, 86_400_000);
    assert_eq!(day.amount, Micros(most.0 * 1_440));
    for rounding in [Rounding::Down, Rounding::Nearest, Rounding::Up] {
        for decimals in [0, 6, u8::MAX] {
            let per_minute = Micros(i64::MAX);
            let bills_ring_time = true;
            let worst = tariff("0", "3600/3600");
            let worst = Tariff { per_minute, bills_ring_time, rounding, decimals, ..worst };
            assert_eq!(worst.charge(i64::MAX, i64::MAX).amount, Micros(i64::MAX));
            assert!(worst.charge(i64::MIN, i64::MIN).amount > Micros(0));
        }
    }
}

#[test]
fn the_longest_prefix_holds() {
    let deck = deck(&["1", "", "1800", "18005550199", "49", "180055501991234"]);
    for (number, prefix) in [
        ("18005550199", "18005550199"),
        ("+18005550199", "18005550199"),
        ("18005550198", "1800"),
        ("180", "1"),
        ("1", "1"),
        ("+4930", "49"),
        ("33", ""),
        ("", ""),
        ("+", ""),
        ("*72#", ""),
        ("1-800-555-0198", "1800"),
        ("+1.800.555.0199", "18005550199"),
        ("1800555019912345678", "180055501991234"),
        ("abc", ""),
    ] {
        assert_eq!(deck.rate_for(number).unwrap().prefix.as_str(), prefix, "{number}");
    }
    assert_eq!(super::tests::deck(&["1", "2"]).rate_for("3"), None);
    assert_eq!(super::tests::deck(&[]).rate_for("3"), None);
}

#[test]
fn a_credit_is_at_most_a_thousand_million() {
    assert_eq!(Credit::MAX.to_string(), "1000000000.00");
}

#[test]
fn rates_are_listed_in_the_order_of_their_prefixes() {
    let deck = deck(&["49", "1800", "", "1"]);
    let listed: Vec<String> = deck.rates.iter().map(|rate| rate.prefix.to_string()).collect();
    assert_eq!(listed, ["", "1", "1800", "49"]);
}

#[test]
fn a_tariff_has_all_that_its_rate_and_deck_say() {
    let deck = RateDeck { bills_ring_time: true, decimals: 2, ..deck(&["1", "1800"]) };
    let euro: Currency = "EUR".parse().unwrap();
    let found = deck.tariff("+18005550199", euro).unwrap();
    assert_eq!((found.deck, found.prefix.as_str()), (deck.id, "1800"));
    assert_eq!((found.per_minute, found.increment), (Micros(4), "1/1".parse().unwrap()));
    assert_eq!((found.bills_ring_time, found.decimals), (true, 2));
    assert_eq!((found.rounding, found.currency), (Rounding::Up, euro));
}

#[test]
fn what_people_type_is_read_or_refused() {
    for (text, micros, shown) in [
        ("0", 0, "0.00"),
        ("0.042", 42_000, "0.042"),
        ("1.5", 1_500_000, "1.50"),
        ("-3", -3_000_000, "-3.00"),
        ("-0.000001", -1, "-0.000001"),
        ("007", 7_000_000, "7.00"),
        ("9223372036854.775807", i64::MAX, "9223372036854.775807"),
        ("-9223372036854.775808", i64::MIN, "-9223372036854.775808"),
    ] {
        assert_eq!(text.parse(), Ok(Micros(micros)));
        assert_eq!(Micros(micros).to_string(), shown);
    }
    for bad in ["", "-", ".5", "1.", "1,5", "+1", "1e3", "0.0000001", "--1", "1.-5", " 1"] {
        assert!(bad.parse::<Micros>().is_err(), "{bad}");
    }
    for bad in ["9223372036854.775808", "-9223372036854.775809", "99999999999999"] {
        let error = bad.parse::<Micros>().unwrap_err();
        assert!(error.contains("too large"), "{bad}: {error}");
    }
    for bad in ["1,5", "0.0000001", "1e3", "٣"] {
        let error = bad.parse::<Micros>().unwrap_err();
        assert!(error.contains("6 digits behind the point"), "{bad}: {error}");
    }
    for bad in ["", "6", "0/6", "6/0", "6/3601", "+6/6", "6/+6", "6/6/6", "-1/6", "6 / 6"] {
        assert!(bad.parse::<Increment>().is_err(), "{bad}");
    }
    for bad in ["US", "usd", "USDX", "U$D", ""] {
        assert!(bad.parse::<Currency>().is_err(), "{bad}");
    }
    for bad in ["1234567890123456", "18a", "1 8", "++1", "-1", "+"] {
        assert!(bad.parse::<Prefix>().is_err(), "{bad}");
    }
    assert_eq!("+1800".parse::<Prefix>().unwrap().as_str(), "1800");
    assert_eq!("".parse::<Prefix>().unwrap().as_str(), "");
}

#[test]
fn a_second_that_was_begun_counts_whole_to_the_millisecond() {
    for (increment, talk_ms, billed_sec) in [
        ("60/60", 0, 60),
        ("60/60", 59_999, 60),
        ("60/60", 60_000, 60),
        ("60/60", 60_001, 120),
        ("60/60", 60_004, 120),
        ("1/1", 0, 1),
        ("1/1", 1_000, 1),
        ("1/1", 1_001, 2),
        ("30/6", 30_000, 30),
        ("30/6", 30_001, 36),
        ("30/6", 36_000, 36),
        ("30/6", 36_001, 42),
    ] {
        let charge = tariff("0.60", increment).charge(0, talk_ms);
        assert_eq!(charge.billed_sec, billed_sec, "{talk_ms} ms at {increment}");
    }
}

fn tariffs() -> impl Strategy<Value = Tariff> {
    let numbers = (0..=Rate::MAX_PER_MINUTE.0, 1..=3_600_u32, 1..=3_600_u32, 0..=6_u8);
    let roundings = prop::sample::select(vec![Rounding::Down, Rounding::Nearest, Rounding::Up]);
    (numbers, roundings, any::<bool>()).prop_map(
        |((per_minute, first_sec, step_sec, decimals), rounding, bills_ring_time)| Tariff {
            per_minute: Micros(per_minute),
            increment: Increment { first_sec, step_sec },
            decimals,
            rounding,
            bills_ring_time,
            ..tariff("0", "1/1")
        },
    )
}

proptest! {
    #[test]
    fn longer_never_costs_less(
        tariff in tariffs(),
        ring_ms in 0..200_000_i64,
        talk_ms in 0..100_000_000_i64,
        more_ms in 0..10_000_000_i64,
    ) {
        let one = tariff.charge(ring_ms, talk_ms);
        let longer = tariff.charge(ring_ms, talk_ms + more_ms);
        let rang_longer = tariff.charge(ring_ms + more_ms, talk_ms);
        prop_assert!(one.amount >= Micros(0));
        prop_assert!(longer.amount >= one.amount && longer.billed_sec >= one.billed_sec);
        prop_assert!(rang_longer.amount >= one.amount);
    }

    #[test]
    fn the_seconds_billed_are_the_fewest_that_cover_the_call(
        tariff in tariffs(),
        talk_ms in 0..100_000_000_i64,
    ) {
        let Increment { first_sec, step_sec } = tariff.increment;
        let (first, step) = (i64::from(first_sec), i64::from(step_sec));
        let billed = tariff.charge(0, talk_ms).billed_sec;
        prop_assert!(billed >= first && (billed - first) % step == 0);
        prop_assert!(billed * 1_000 >= talk_ms);
        prop_assert!(billed == first || (billed - step) * 1_000 < talk_ms);
    }

    #[test]
    fn rounding_moves_an_amount_by_less_than_its_last_digit(
        tariff in tariffs(),
        talk_ms in 0..100_000_000_i64,
    ) {
        let charge = tariff.charge(0, talk_ms);
        let exact = i128::from(tariff.per_minute.0) * i128::from(charge.billed_sec);
        let off = i128::from(charge.amount.0) * 60 - exact;
        let digit = 60 * 10_i128.pow(u32::from(6 - tariff.decimals));
        match tariff.rounding {
            Rounding::Down => prop_assert!(-digit < off && off <= 0),
            Rounding::Nearest => prop_assert!(-digit < 2 * off && 2 * off <= digit),
            Rounding::Up => prop_assert!(0 <= off && off < digit),
        }
        prop_assert_eq!(i128::from(charge.amount.0) * 60 % digit, 0);
    }

    #[test]
    fn an_amount_and_an_increment_read_back_from_their_text(
        micros in any::<i64>(),
        first_sec in 1..=3_600_u32,
        step_sec in 1..=3_600_u32,
    ) {
        prop_assert_eq!(Micros(micros).to_string().parse(), Ok(Micros(micros)));
        let increment = Increment { first_sec, step_sec };
        prop_assert_eq!(increment.to_string().parse(), Ok(increment));
    }

    #[test]
    fn the_rate_is_the_one_that_a_look_at_all_of_them_finds(
        prefixes in prop::collection::btree_set("[0-3]{0,5}", 0..60),
        number in "[+]?([0-3][-.]?){0,7}",
    ) {
        let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let deck = deck(&prefixes);
        let digits = number.replace(['+', '-', '.'], "");
        let longest = prefixes.iter().filter(|prefix| digits.starts_with(**prefix));
        let longest = longest.max_by_key(|prefix| prefix.len()).copied();
        prop_assert_eq!(deck.rate_for(&number).map(|rate| rate.prefix.as_str()), longest);
    }
}
