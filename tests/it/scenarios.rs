//! Every promise of `tests/scenarios` on the simulator; `tests/asterisk` keeps them for real.

use std::path::Path;

use divert::engine::journal;
use divert::harness::rehearse::rehearse;
use divert::harness::scenario::{check, read_folder};

#[test]
fn every_scenario_keeps_its_promise_on_the_simulator() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let scenarios = read_folder(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(scenarios.len() >= 16, "only {} scenarios", scenarios.len());
    let mut broken = Vec::new();
    for scenario in &scenarios {
        let differences = match rehearse(scenario) {
            Ok(played) => {
                for call in &played {
                    journal::replay(&call.journal).expect("a replay gives the same commands");
                }
                check(scenario, &played)
            }
            Err(left) => left,
        };
        broken.extend(differences.iter().map(|text| format!("{}: {text}", scenario.name)));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
