//! Smooth weighted round-robin: who of the eligible is next.
//!
//! The algorithm is nginx's (`ngx_http_upstream_get_peer`): every eligible destination gains its
//! weight, the one that stands highest is picked and pays the sum of all. Over a window of as many
//! picks as the weights add up to, each gets exactly its weight, and never in lumps. Destinations that
//! are not eligible do not turn with the wheel, so their share goes to the others in proportion.

/// How many calls in a row that were not the wheel's to give may be charged to a destination before
/// the wheel makes up for them.
const CHARGED_IN_A_ROW: i64 = 8;

/// An eligible destination: its place on the wheel, and its weight, which is never 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Share {
    pub at: usize,
    pub weight: u32,
}

/// How the destinations of a flow stand, each at its place. No floats, no randomness.
///
/// The tiers of a flow are wheels of their own on the same axle: what is eligible together is always
/// of one tier.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wheel {
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Place {
    standing: i64,
    /// What the weights added up to when it last turned: another sum is another set of destinations.
    among: i64,
    /// It may owe more than one call, or be owed more, somebody having been charged.
    is_charged: bool,
}

impl Wheel {
    /// With so many places, of which none has had anything.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places: vec![Place::default(); places] }
    }

    /// The next among `eligible`, which are in the order of their places; of equals, the first.
    /// Nothing moves.
    #[must_use]
    pub fn next(&self, eligible: &[Share]) -> Option<usize> {
        let reach = self.reach(eligible);
        let mut best: Option<(i64, usize)> = None;
        for share in eligible {
            let standing = self.standing(share.at).clamp(-reach, reach) + i64::from(share.weight);
            if best.is_none_or(|(highest, _)| standing > highest) {
                best = Some((standing, share.at));
            }
        }
        best.map(|(_, at)| at)
    }

    /// Moves on past `picked`, which won its slot among `eligible`.
    pub fn turn(&mut self, eligible: &[Share], picked: usize) {
        let (total, reach) = (total(eligible), self.reach(eligible));
        let mut farthest = 0;
        for share in eligible {
            if let Some(place) = self.places.get_mut(share.at) {
                place.among = total;
                place.standing = place.standing.clamp(-reach, reach) + i64::from(share.weight);
                if share.at == picked {
                    place.standing -= total;
                }
                farthest = farthest.max(place.standing.abs());
            }
        }
        if farthest <= total {
            self.mark(eligible, false);
        }
    }

    /// `taker` got a call that was its own, past the wheel: it is charged for it, so that the others
    /// catch up, unless it has had so many of these that they could not. `false` if nothing moved.
    pub fn charge(&mut self, eligible: &[Share], taker: usize) -> bool {
        let is_charged = self.charges(eligible, taker);
        if is_charged {
            self.mark(eligible, true);
            self.turn(eligible, taker);
        }
        is_charged
    }

    /// Whether [`Wheel::charge`] would move anything.
    #[must_use]
    pub fn charges(&self, eligible: &[Share], taker: usize) -> bool {
        eligible.iter().find(|share| share.at == taker).is_some_and(|share| {
            let others = total(eligible) - i64::from(share.weight);
            self.standing(taker) > -others * CHARGED_IN_A_ROW
        })
    }

    #[must_use]
    pub fn standing(&self, at: usize) -> i64 {
        self.places.get(at).map_or(0, |place| place.standing)
    }

    /// Puts one where it stood on another wheel.
    pub fn keep(&mut self, at: usize, from: &Self, place: usize) {
        if let (Some(here), Some(there)) = (self.places.get_mut(at), from.places.get(place)) {
            *here = *there;
        }
    }

    /// Puts one back where it stood before a restart, as one of a tier with these `weights`; not
    /// farther from the middle than the wheel itself leads.
    ///
    /// The `k` that stand highest of `n` have on average no more than 1/(k+1) + … + 1/n of the sum of
    /// the weights, so that one alone has less than the logarithm of `n` to the base 2 of it; and
    /// nobody owes the whole sum.
    pub fn restore(&mut self, at: usize, standing: i64, weights: impl Iterator<Item = u32>) {
        let (mut total, mut count) = (0, 0_u32);
        for weight in weights.filter(|weight| *weight > 0) {
            total += i64::from(weight);
            count += 1;
        }
        let reach = total * i64::from(count.checked_ilog2().unwrap_or_default().max(1));
        if let Some(place) = self.places.get_mut(at) {
            let standing = standing.clamp(-reach, reach);
            *place = Place { standing, among: total, is_charged: false };
        }
    }

    /// How far from the middle one may stand. There is no bound while the same stand at the wheel,
    /// which makes good to everybody exactly what is owed; when they have changed, debts of the time
    /// before could be worth many calls now.
    fn reach(&self, eligible: &[Share]) -> i64 {
        let total = total(eligible);
        let mut places = eligible.iter().filter_map(|share| self.places.get(share.at));
        if places.clone().all(|place| place.among == total) {
            return i64::MAX;
        }
        let calls = if places.any(|place| place.is_charged) { CHARGED_IN_A_ROW + 1 } else { 1 };
        total * calls
    }

    fn mark(&mut self, eligible: &[Share], is_charged: bool) {
        for share in eligible {
            if let Some(place) = self.places.get_mut(share.at) {
                place.is_charged = is_charged;
            }
        }
    }
}

fn total(eligible: &[Share]) -> i64 {
    eligible.iter().map(|share| i64::from(share.weight)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wheel() -> Wheel {
        Wheel::new(16)
    }

    fn spin(wheel: &mut Wheel, eligible: &[Share], times: usize) -> Vec<usize> {
        let mut picks = Vec::new();
        for _ in 0..times {
            let picked = wheel.next(eligible).expect("somebody is eligible");
            wheel.turn(eligible, picked);
            picks.push(picked);
        }
        picks
    }

    fn weighted(weights: &[u32]) -> Vec<Share> {
        weights.iter().enumerate().map(|(at, &weight)| Share { at, weight }).collect()
    }

    fn count(picks: &[usize], at: usize) -> usize {
        picks.iter().filter(|&&picked| picked == at).count()
    }

    #[test]
    fn five_one_one_is_spread_smoothly() {
        assert_eq!(spin(&mut wheel(), &weighted(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(wheel().next(&[]), None);
    }

    /// Each of `weights` exactly in every window of as many picks as they add up to.
    fn is_exact(weights: &[u32]) -> bool {
        let total = weights.iter().sum::<u32>() as usize;
        let picks = spin(&mut wheel(), &weighted(weights), 2 * total);
        let mut shares = weights.iter().map(|weight| *weight as usize).enumerate();
        shares.all(|(at, wanted)| picks.windows(total).all(|window| count(window, at) == wanted))
    }

    #[test]
    fn one_that_is_owed_more_than_a_call_gets_all_of_it() {
        let weights = [14, 1, 5, 16, 14, 1, 3];
        let (mut wheel, all) = (wheel(), weighted(&weights));
        let farthest = (0..54).map(|_| {
            spin(&mut wheel, &all, 1);
            all.iter().map(|share| wheel.standing(share.at)).max().unwrap()
        });
        assert_eq!(farthest.max(), Some(56), "of a sum of 54");
        assert!(is_exact(&weights));
    }

    #[test]
    fn a_change_of_what_does_not_stand_at_the_wheel_moves_nothing() {
        let weights = [14, 1, 5, 16, 14, 1, 3];
        let (mut once, all) = (wheel(), weighted(&weights));
        let picks = spin(&mut once, &all, 54);
        for before in 0..54 {
            let mut first = wheel();
            let mut seen = spin(&mut first, &all, before);
            let mut second = wheel();
            for share in &all {
                second.keep(share.at, &first, share.at);
            }
            seen.extend(spin(&mut second, &all, 54 - before));
            assert_eq!(seen, picks, "after {before}");
        }
    }

    #[test]
    fn debts_that_nobody_can_have_are_cut_when_they_are_put_back() {
        for (weights, reach) in
            [(&[1_u32, 1][..], 2), (&[1, 0, 1, 0], 2), (&[1, 1, 1, 1], 8), (&[], 0)]
        {
            for standing in [i64::MAX, reach + 1, reach, -reach, -reach - 1, i64::MIN] {
                let mut wheel = wheel();
                wheel.restore(0, standing, weights.iter().copied());
                assert_eq!(wheel.standing(0), standing.clamp(-reach, reach), "{weights:?}");
            }
        }
    }

    #[test]
    fn one_that_drops_out_leaves_its_share_to_all_the_others() {
        let all = weighted(&[5, 3, 2]);
        let mut wheel = wheel();
        spin(&mut wheel, &all, 7);
        let picks = spin(&mut wheel, &[all[0], all[2]], 70);
        assert!((49..=51).contains(&count(&picks, 0)), "{picks:?}");
    }

    #[test]
    fn a_giant_that_drops_out_leaves_no_debts_worth_hundreds_of_calls() {
        let all = weighted(&[1_000, 1, 1]);
        let mut wheel = wheel();
        spin(&mut wheel, &all, 700);
        let picks = spin(&mut wheel, &all[1..], 20);
        assert!(count(&picks, 1).abs_diff(count(&picks, 2)) <= 4, "{picks:?}");
    }

    /// The shares in percent of three equal destinations, when three calls of ten, as dice would have
    /// them, belong to the first. As many others overflow to another tier, if there is one.
    fn shares_with_sticky(is_charged: bool, has_overflow: bool) -> [usize; 3] {
        const CALLS: usize = 30_000;
        let overflow = [3, 4].map(|at| Share { at, weight: 1 });
        let (mut wheel, eligible) = (wheel(), weighted(&[1, 1, 1]));
        let (mut seed, mut got) = (7_u64, [0; 3]);
        for _ in 0..CALLS {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let picked = if (seed >> 33) % 10 < 3 {
                if is_charged {
                    wheel.charge(&eligible, 0);
                }
                0
            } else {
                spin(&mut wheel, &eligible, 1)[0]
            };
            got[picked] += 1;
            if has_overflow {
                spin(&mut wheel, &overflow, 1);
            }
        }
        got.map(|calls| (calls * 100 + CALLS / 2) / CALLS)
    }

    #[test]
    fn returning_callers_are_charged_to_the_wheel() {
        assert_eq!(shares_with_sticky(true, false), [34, 33, 33]);
        assert_eq!(shares_with_sticky(true, true), [34, 33, 33], "a tier is its own wheel");
        assert_eq!(shares_with_sticky(false, false), [53, 23, 23], "what it would be otherwise");
    }

    #[test]
    fn who_only_has_returning_callers_is_not_starved_for_ever_behind_them() {
        let (mut wheel, eligible) = (wheel(), weighted(&[1, 1, 1]));
        for _ in 0..1_000 {
            wheel.charge(&eligible, 0);
        }
        let picks = spin(&mut wheel, &eligible, 30);
        assert!(picks.iter().position(|&at| at == 0).is_some_and(|waits| waits <= 3 * 8));
    }

    #[test]
    fn eight_calls_in_a_row_are_charged_whatever_the_weights() {
        for (weights, taker) in [(&[1, 1, 1][..], 0), (&[3, 1], 0), (&[3, 1], 1), (&[5, 2, 4], 2)] {
            let (mut wheel, eligible) = (wheel(), weighted(weights));
            let charged = (0..20).filter(|_| wheel.charge(&eligible, taker)).count();
            assert_eq!(charged, 8, "{weights:?} {taker}");
        }
        assert!(!wheel().charges(&weighted(&[1]), 0), "there is nobody who could catch up");
        assert!(!wheel().charges(&weighted(&[1, 1]), 2), "it does not stand at the wheel");
    }

    #[test]
    fn who_was_charged_owes_it_also_when_others_drop_out() {
        let (mut wheel, all) = (wheel(), weighted(&[1, 1, 1]));
        for _ in 0..8 {
            wheel.charge(&all, 0);
        }
        assert_eq!((wheel.standing(0), wheel.standing(1)), (-16, 8));
        assert_eq!(spin(&mut wheel, &all[..2], 13), [&[1; 12][..], &[0]].concat());
        // Besides what it owed before.
        let mut wheel = Wheel::new(3);
        spin(&mut wheel, &all, 2);
        while wheel.charge(&all, 0) {}
        assert_eq!(wheel.standing(0), -17);
        spin(&mut wheel, &all[..2], 1);
        assert_eq!(wheel.standing(0), -16);
    }

    fn weights(most: u32) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(1..most, 1..9)
    }

    const ROUNDS: usize = 20;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn any_window_of_the_total_gives_each_exactly_its_weight(weights in weights(20)) {
            prop_assert!(is_exact(&weights));
        }

        #[test]
        fn no_run_is_longer_than_the_weights_ask_for(weights in weights(30)) {
            prop_assume!(weights.len() > 1);
            let total: u32 = weights.iter().sum();
            let picks = spin(&mut wheel(), &weighted(&weights), 3 * total as usize);
            for (at, &weight) in weights.iter().enumerate() {
                let longest = picks.split(|&p| p != at).map(<[usize]>::len).max().unwrap();
                prop_assert!(longest <= 2 * weight.div_ceil(total - weight) as usize);
            }
        }

        #[test]
        fn after_one_is_gone_the_others_keep_their_proportion(
            weights in weights(20), before in 0usize..60, gone in any::<prop::sample::Index>(),
        ) {
            prop_assume!(weights.len() > 1);
            let mut left = weighted(&weights);
            let mut wheel = wheel();
            spin(&mut wheel, &left, before);
            left.remove(gone.index(left.len()));
            let total: u32 = left.iter().map(|share| share.weight).sum();
            let picks = spin(&mut wheel, &left, ROUNDS * total as usize);
            for share in &left {
                // What each had to its name or owed when the other went is settled once.
                let wanted = ROUNDS * share.weight as usize;
                prop_assert!(count(&picks, share.at).abs_diff(wanted) <= 3);
            }
        }

        #[test]
        fn nobody_starves(weights in weights(50), before in 0usize..60) {
            let all = weighted(&weights);
            let mut wheel = wheel();
            spin(&mut wheel, &all, before);
            let total = weights.iter().sum::<u32>() as usize;
            let picks = spin(&mut wheel, &all, total);
            prop_assert!(all.iter().all(|share| picks.contains(&share.at)));
        }

        /// From where it stood it goes on as if nothing had been.
        #[test]
        fn a_restart_changes_nothing(weights in weights(20), before in 0usize..200) {
            let all = weighted(&weights);
            let mut first = wheel();
            spin(&mut first, &all, before);
            let mut second = wheel();
            for share in &all {
                second.restore(share.at, first.standing(share.at), weights.iter().copied());
            }
            prop_assert_eq!(spin(&mut second, &all, 100), spin(&mut first, &all, 100));
        }

        /// At no time has anybody had a whole call too many, nor is owed more than the bound of what is
        /// put back.
        #[test]
        fn the_wheel_itself_leads_no_farther_than_what_is_put_back(
            weights in weights(20), turns in 0usize..200,
        ) {
            let all = weighted(&weights);
            let total = i64::from(weights.iter().sum::<u32>());
            let mut wheel = wheel();
            spin(&mut wheel, &all, turns);
            for standing in all.iter().map(|share| wheel.standing(share.at)) {
                let mut other = Wheel::new(1);
                other.restore(0, standing, weights.iter().copied());
                prop_assert_eq!(other.standing(0), standing);
                prop_assert!(standing > -total);
            }
        }
    }
}
