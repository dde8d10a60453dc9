//! Smooth weighted round-robin: who of the eligible is next.
//!
//! The algorithm is nginx's (`ngx_http_upstream_get_peer`): every eligible destination gains its
//! weight, the one that stands highest is picked and pays the sum of all. Over a window of as many
//! picks as the weights add up to, each gets exactly its weight, and never in lumps. Destinations that
//! are not eligible do not turn with the wheel, so their share goes to the others in proportion.

use std::collections::BTreeMap;

use crate::model::id::DestinationId;

/// The standing of each destination of one tier. No floats, no randomness.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wheel {
    standing: BTreeMap<DestinationId, i64>,
}

impl Wheel {
    /// The next among `eligible`, in their order of position, each with its weight. Weight 0 is never
    /// picked. Nothing moves: see [`Wheel::turn`].
    #[must_use]
    pub fn next(&self, eligible: &[(DestinationId, u32)]) -> Option<DestinationId> {
        let mut best: Option<(i64, DestinationId)> = None;
        for &(id, weight) in eligible.iter().filter(|(_, weight)| *weight > 0) {
            let standing = self.standing(id) + i64::from(weight);
            if best.is_none_or(|(highest, _)| standing > highest) {
                best = Some((standing, id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// Moves the wheel past `picked`, which won its slot among `eligible`.
    pub fn turn(&mut self, eligible: &[(DestinationId, u32)], picked: DestinationId) {
        let mut total = 0;
        for &(id, weight) in eligible {
            let weight = i64::from(weight);
            total += weight;
            *self.standing.entry(id).or_default() += weight;
        }
        *self.standing.entry(picked).or_default() -= total;
    }

    /// After a change of configuration: survivors keep their standing, within the new total.
    pub fn keep(&mut self, weights: &BTreeMap<DestinationId, u32>) {
        let total = weights.values().copied().map(i64::from).sum::<i64>();
        self.standing.retain(|id, _| weights.contains_key(id));
        for standing in self.standing.values_mut() {
            *standing = (*standing).clamp(-total, total);
        }
    }

    fn standing(&self, id: DestinationId) -> i64 {
        self.standing.get(&id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spin(wheel: &mut Wheel, eligible: &[(DestinationId, u32)], times: usize) -> Vec<usize> {
        let mut picks = Vec::new();
        for _ in 0..times {
            let picked = wheel.next(eligible).expect("somebody is eligible");
            wheel.turn(eligible, picked);
            picks.push(eligible.iter().position(|(id, _)| *id == picked).unwrap());
        }
        picks
    }

    fn weighted(weights: &[u32]) -> Vec<(DestinationId, u32)> {
        (1..).map(DestinationId::new).zip(weights.iter().copied()).collect()
    }

    #[test]
    fn five_one_one_is_spread_smoothly() {
        let picks = spin(&mut Wheel::default(), &weighted(&[5, 1, 1]), 7);
        assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn weight_zero_is_never_picked() {
        assert_eq!(Wheel::default().next(&weighted(&[0, 0])), None);
        assert_eq!(spin(&mut Wheel::default(), &weighted(&[0, 1]), 3), [1, 1, 1]);
    }

    #[test]
    fn one_that_drops_out_leaves_its_share_to_all_the_others() {
        let all = weighted(&[5, 3, 2]);
        let mut wheel = Wheel::default();
        spin(&mut wheel, &all, 7);
        let picks = spin(&mut wheel, &[all[0], all[2]], 70);
        assert!((49..=51).contains(&picks.iter().filter(|&&at| at == 0).count()), "{picks:?}");
    }

    proptest! {
        #[test]
        fn any_window_of_the_total_gives_each_exactly_its_weight(
            weights in prop::collection::vec(0u32..20, 1..8).prop_filter("one turns", |all| all.iter().any(|&w| w > 0)),
        ) {
            let total = weights.iter().sum::<u32>() as usize;
            let picks = spin(&mut Wheel::default(), &weighted(&weights), 3 * total);
            for window in picks.windows(total) {
                for (at, weight) in weights.iter().enumerate() {
                    prop_assert_eq!(window.iter().filter(|&&p| p == at).count(), *weight as usize);
                }
            }
        }

        #[test]
        fn no_run_is_longer_than_the_weights_ask_for(
            weights in prop::collection::vec(1u32..30, 2..8),
        ) {
            let total: u32 = weights.iter().sum();
            let picks = spin(&mut Wheel::default(), &weighted(&weights), 3 * total as usize);
            for (at, &weight) in weights.iter().enumerate() {
                let longest = picks.split(|&p| p != at).map(<[usize]>::len).max().unwrap();
                prop_assert!(longest <= 2 * weight.div_ceil(total - weight) as usize);
            }
        }

        #[test]
        fn a_change_of_weights_keeps_every_standing_within_the_total(
            before in prop::collection::vec(1u32..1000, 1..6),
            after in prop::collection::vec(1u32..10, 1..6),
            turns in 0usize..50,
        ) {
            let mut wheel = Wheel::default();
            spin(&mut wheel, &weighted(&before), turns);
            let after = weighted(&after);
            wheel.keep(&after.iter().copied().collect());
            let total: i64 = after.iter().map(|(_, weight)| i64::from(*weight)).sum();
            for (id, standing) in &wheel.standing {
                prop_assert!(after.iter().any(|(known, _)| known == id));
                prop_assert!(standing.abs() <= total);
            }
        }
    }
}
