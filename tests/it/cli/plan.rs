//! What `plan` says before anything is changed, on SQLite.

use std::fs;

use tempfile::TempDir;

use super::{GOOD, stderr, with_database};

#[test]
fn what_a_flow_would_lose_is_asked_after() {
    let dir = TempDir::new().unwrap();
    let write = |text: &str| fs::write(dir.path().join("flows.yaml"), text).unwrap();
    let second = "      - { name: second, server: slave-a, did: \"1002\" }\n";
    write(&(GOOD.replace("[\"8005550199\"]", "[\"8005550199\", \"8005550198\"]") + second));
    let mut command = with_database(dir.path());
    command.args(["apply", "flows.yaml", "--yes"]).assert().success();
    let mut plan = with_database(dir.path());
    plan.args(["plan", "flows.yaml"]);
    assert!(!stderr(&mut plan).contains("loses"));

    write(&GOOD.replace("    dids: [\"8005550199\"]\n", ""));
    let told = stderr(&mut plan);
    let wanted = "forwarding flow sales loses 2 DIDs (8005550198, 8005550199) and 1 destination \
                  (second); write them too, unless that is meant";
    assert!(
        told.contains(wanted) || told.contains(&wanted.replace("98, 8005550199", "99, 8005550198")),
        "{told}"
    );
    // It has all that it had, and one DID goes to another flow: that is no loss.
    let other = "  - name: other\n    master: pbx\n    dids: [\"8005550198\"]\n    destinations:\n      \
                 - { server: slave-a, did: \"1003\" }\n";
    write(&(GOOD.to_owned() + second + other));
    assert!(!stderr(&mut plan).contains("loses"), "{}", stderr(&mut plan));
}
