//! Calls on the simulator, as the command line shows them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{GOOD, divert, stderr, stdout};

#[test]
fn the_shipped_example_is_played_and_marked_as_simulated() {
    let dir = TempDir::new().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/divert.example.yaml");
    let run = divert(dir.path()).arg("simulate").arg(example).assert().success();
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(text.starts_with("Simulated: ") && text.ends_with("\nsimulated\n"), "{text}");
    let is_step =
        |line: &&str| line.starts_with('+') && line.contains(" s  ") && !line.contains(['│', '├']);
    let steps: Vec<_> = text.lines().map(str::trim_start).filter(is_step).collect();
    insta::assert_snapshot!(steps.join("\n"), @"
    +0.000 s  Routed        desk-a (priority 1, weight 1)
    +0.002 s  Busy          desk-a · SIP 486 · cause 17
    +0.002 s  Routed        desk-b (priority 2, weight 1)
    +0.004 s  Ringing       desk-b
    +0.504 s  Answered      desk-b
    +3.504 s  Ended         by the caller · talk 3.0 s · cause 16
    ");
    assert!(text.contains("◀── 486 Busy ────✕"), "the ladder is there: {text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn the_caller_stays_as_long_as_told() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("flows.yaml"), GOOD).unwrap();
    let args = ["simulate", "flows.yaml", "--did", "8005550199", "--talk", "75"];
    let text = stdout(divert(dir.path()).args(args));
    assert!(text.contains("by the caller · talk 1:15 · cause 16"), "{text}");
}

#[test]
fn a_simulated_call_that_nobody_answers_fails() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("flows.yaml"), GOOD.replace("\"1001\"", "\"1201\"")).unwrap();
    let run = divert(dir.path()).args(["simulate", "flows.yaml"]).assert().code(1);
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    assert!(text.contains("No answer     slave-a-sales · SIP 480 · cause 19"), "{text}");

    // A number that nobody owns goes back to the dialplan.
    let args = ["simulate", "flows.yaml", "--did", "99"];
    let run = divert(dir.path()).args(args).assert().code(1);
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("no forwarding flow owns this number"), "{text}");
}

#[test]
fn unknown_numbers_answer_and_any_outcome_can_be_chosen() {
    let dir = TempDir::new().unwrap();
    let with_number = |number: &str| {
        let text = GOOD.replace(
            "server: slave-a, did: \"1001\"",
            &format!("trunk: to-slave-a, number: \"{number}\""),
        );
        fs::write(dir.path().join("flows.yaml"), text).unwrap();
    };
    for number in ["+12025550100", "18005550199", "11", "110155"] {
        with_number(number);
        divert(dir.path()).args(["simulate", "flows.yaml"]).assert().success();
        let args = ["simulate", "flows.yaml", "--outcome", &format!("{number}=declined")];
        let run = divert(dir.path()).args(args).assert().code(1);
        let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
        assert!(text.contains("Declined      slave-a-sales"), "{text}");
    }
    for typed in ["1001", "1001=lost_race", "1001=ring", "=busy"] {
        let mut command = divert(dir.path());
        command.args(["simulate", "flows.yaml", "--outcome", typed]).assert().code(2);
        assert!(
            stderr(&mut command).contains("as 12025550100=busy; an outcome is one of answered,")
        );
    }
    let help = stdout(divert(dir.path()).args(["simulate", "--help"]));
    assert!(help.contains("12xx  rings and never answers"), "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
fn an_outcome_is_of_a_number_that_the_document_dials_with_or_without_its_plus() {
    let dir = TempDir::new().unwrap();
    let run = |number: &str, typed: &str| {
        let landing = format!("trunk: to-slave-a, number: \"{number}\"");
        let document = GOOD.replace("server: slave-a, did: \"1001\"", &landing)
            + "    fallback: { trunk: to-slave-a, number: \"1002\" }\n";
        fs::write(dir.path().join("flows.yaml"), document).unwrap();
        let outcome = format!("{typed}=busy");
        let mut command = divert(dir.path());
        let output =
            command.args(["simulate", "flows.yaml", "--outcome", &outcome]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    for (number, typed) in
        [("+12025550143", "12025550143"), ("12025550143", "+12025550143"), ("#21", "#21")]
    {
        let (_, text) = run(number, typed);
        assert!(text.contains("Busy          slave-a-sales"), "{number}: {text}");
    }
    let (code, text) = run("1001", "1002");
    assert_eq!(code, Some(0), "the number of the fallback is one: {text}");
    for typed in ["slave-a-sales", "12025550144"] {
        let (code, text) = run("+12025550143", typed);
        assert_eq!(code, Some(2), "{text}");
        let told = format!("--outcome {typed}: no destination has this number");
        assert!(text.contains(&told) && text.contains("there is +12025550143, 1002"), "{text}");
    }
}

#[test]
fn a_document_with_faults_is_not_simulated() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("flows.yaml"), GOOD.replace("role: master", "rol: x")).unwrap();
    let mut command = divert(dir.path());
    command.args(["simulate", "flows.yaml"]).assert().code(2);
    assert!(stderr(&mut command).contains("flows.yaml:3: "));
    fs::write(dir.path().join("empty.yaml"), "servers: []\n").unwrap();
    let mut command = divert(dir.path());
    command.args(["simulate", "empty.yaml"]).assert().code(2);
    assert!(stderr(&mut command).contains("no forwarding flow has a number"));
}
