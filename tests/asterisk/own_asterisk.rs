//! The page `divert help asterisk`, typed word by word on Asterisk as Debian installs it; and
//! what `divert doctor` says there when something is taken away again.
//!
//! The container has a network of its own, so that every port is that of the page. Instead of systemd
//! it has a script that does with divert's unit what systemd would.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use divert::ari::variable::Variable;
use divert::cli::doctor::NEEDS;
use serde_json::Value;
use strum::VariantArray as _;
use testcontainers::core::{Mount, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use crate::lab::{NEWEST, eventually, image};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/asterisk/README.md"));

/// All that is typed in another way than it stands on the page.
const DIFFERENT: &[(&str, &str)] = &[
    // It is built already, and stands where cargo would have put it.
    ("cargo build --release --locked\n", ""),
    // The carrier and the office are the test's other Asterisk.
    ("203.0.113.7:5060", "127.0.0.1:5160"),
    ("203.0.113.7", "127.0.0.1"),
    // A phone that answers, and hangs up after 2 s.
    ("+12025550143", "1901"),
];

/// Between two blocks of the page: nobody types so fast that Asterisk or divert is not up yet.
const SETTLE: &str = r#"
until asterisk -rx 'core waitfullybooted' 2>/dev/null | grep 'fully booted' >/dev/null; do sleep 0.1; done
ask() { exec 3<>/dev/tcp/127.0.0.1/8390 && printf 'GET /%s HTTP/1.0\r\n\r\n' "$1" >&3 && cat <&3; }
is_ready() { (ask readyz) | grep '"ready":true' >/dev/null; }
may_be_called() { (ask metrics) | grep '^divert_trunk_up{trunk="'"$1"'"} 1' >/dev/null; }
if [ -e /var/log/divert.log ]; then until is_ready 2>/dev/null; do sleep 0.1; done; fi
if [ -e flows.yaml ]; then until may_be_called carrier && may_be_called office; do sleep 0.1; done; fi
"#;

struct Machine {
    asterisk: ContainerAsync<GenericImage>,
    /// On the same network: the carrier and the office.
    _phones: ContainerAsync<GenericImage>,
}

impl Machine {
    async fn start() -> Self {
        let (name, tag) = image(NEWEST);
        let ready = || WaitFor::message_on_stdout("Asterisk Ready.");
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/asterisk/own_asterisk/systemctl");
        let request = GenericImage::new(&name, &tag)
            .with_wait_for(ready())
            .with_network("none")
            .with_cmd(["stock"])
            .with_mount(Mount::bind_mount(tests, "/usr/local/bin/systemctl"))
            .with_mount(Mount::bind_mount(
                env!("CARGO_BIN_EXE_divert"),
                "/src/target/release/divert",
            ))
            .with_startup_timeout(Duration::from_mins(1));
        let asterisk = request.start().await.unwrap();
        let request = GenericImage::new(&name, &tag)
            .with_wait_for(ready())
            .with_network(format!("container:{}", asterisk.id()))
            .with_cmd(["phones"])
            .with_env_var("DIVERT_ARI_PASSWORD", "secret")
            .with_env_var("DIVERT_HTTP_PORT", "8089")
            .with_startup_timeout(Duration::from_mins(1));
        let phones = request.start().await.unwrap();
        Self { asterisk, _phones: phones }
    }

    /// What a shell in the container says; the first command that fails ends it.
    fn run(&self, script: &str) -> (bool, String) {
        let mut child = Command::new("docker")
            .args(["exec", "-i", "-w", "/src", self.asterisk.id(), "bash", "-euo", "pipefail"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The same where it must work.
    fn sh(&self, script: &str) -> String {
        let (is_good, text) = self.run(script);
        assert!(is_good, "{script}\n---- says\n{text}");
        text
    }

    fn follow_the_page(&self) -> String {
        let typed: Vec<String> = page().iter().map(|block| format!("{block}{SETTLE}")).collect();
        self.sh(&typed.concat())
    }

    /// The findings of `divert doctor` that are no praise: check, state, fact and fix.
    fn doctor(&self, variables: &str) -> Vec<[String; 4]> {
        let (_, text) = self.run(&format!("{variables} divert doctor --json"));
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        let findings = report["findings"].as_array().unwrap().iter();
        let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        findings
            .filter(|one| one["state"] != "good")
            .map(|one| ["check", "state", "fact", "fix"].map(|key| word(one, key)))
            .collect()
    }

    fn wrong(&self, variables: &str) -> Vec<[String; 4]> {
        let mut findings = self.doctor(variables);
        findings.retain(|[_, state, ..]| state == "bad");
        findings
    }
}

/// The blocks of the page in order, with what must be different.
fn page() -> Vec<String> {
    let blocks = PAGE.split("```sh\n").skip(1);
    let mut text: Vec<String> =
        blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect();
    for (theirs, ours) in DIFFERENT {
        let found = text.iter().any(|block| block.contains(theirs));
        assert!(found, "{theirs} stands nowhere on the page");
        text = text.iter().map(|block| block.replace(theirs, ours)).collect();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_your_own_asterisk_leads_to_a_call() {
    let machine = Machine::start().await;
    let told = machine.follow_the_page();
    assert!(told.contains("0 wrong, "), "{told}");
    assert!(told.contains("answered by desk"), "{told}");

    // The service is not root, and what it reads is.
    let as_the_service = "setpriv --reuid 61234 --regid 61234 --clear-groups cat";
    let (can_read, told) = machine.run(&format!("{as_the_service} /etc/divert/divert.toml"));
    assert!(!can_read && told.contains("Permission denied"), "{told}");
    let copy = format!("{as_the_service} /run/credentials/divert.service/divert.toml");
    assert!(machine.sh(&copy).contains("password = "));

    // A carrier's call, by SIP.
    let call = "/ari/channels?endpoint=PJSIP%2F%2B12025550100%40divert&context=caller&extension=hold\
                &priority=1&api_key=phones:secret";
    let asked = machine.sh(&format!(
        "exec 3<>/dev/tcp/127.0.0.1/8089; cat >&3 <<'END'\nPOST {call} HTTP/1.0\nContent-Length: 0\n\nEND\n\
         cat <&3"
    ));
    assert!(asked.starts_with("HTTP/1.1 200"), "{asked}");
    eventually("the call to be over", Duration::from_secs(20), async || {
        let calls = machine.sh("divert calls list --json");
        let calls: Value = serde_json::from_str(&calls).unwrap();
        let mut calls = calls["data"].as_array().unwrap().iter();
        let call = calls.find(|call| call["tags"] == serde_json::json!([]))?;
        (call["status"] == "ended").then(|| assert_eq!(call["result"], "answered", "{call}"))
    })
    .await;
}

/// What is broken, what doctor says then and what it says to type, and how it is mended again.
struct Fault {
    breaks: &'static str,
    variables: &'static str,
    check: &'static str,
    fact: &'static str,
    fix: &'static str,
    mends: &'static str,
}

/// The files as the page left them are in /root/etc.
const FAULTS: &[Fault] = &[
    Fault {
        breaks: "echo read_only=yes >> /etc/asterisk/ari.conf; asterisk -rx 'module reload res_ari.so'",
        variables: "",
        check: "user",
        fact: "may only look",
        fix: "read_only=no in [divert] of ari.conf",
        mends: "asterisk -rx 'module reload res_ari.so'",
    },
    Fault {
        breaks: "printf 'deny=0.0.0.0/0\\npermit=192.0.2.0/24\\n' >> /etc/asterisk/ari.conf; \
                 asterisk -rx 'module reload res_ari.so'",
        variables: "",
        check: "ari",
        fact: "the ACL of the ARI user \"divert\" excludes 127.0.0.1/32",
        fix: "permit=127.0.0.1/32 in [divert] of ari.conf",
        mends: "asterisk -rx 'module reload res_ari.so'",
    },
    Fault {
        breaks: "printf '[/ari]\\ntype=restriction\\ndeny=0.0.0.0/0\\npermit=192.0.2.0/24\\n' >> \
                 /etc/asterisk/http.conf; asterisk -rx 'module reload http'",
        variables: "",
        check: "ari",
        fact: "an ACL of http.conf keeps 127.0.0.1/32 away",
        fix: "permit=127.0.0.1/32 in the section with type=restriction",
        mends: "asterisk -rx 'module reload http'",
    },
    Fault {
        breaks: "printf '[general](+)\\nenabled=no\\n' >> /etc/asterisk/http.conf; \
                 asterisk -rx 'module reload http'",
        variables: "",
        check: "ari",
        fact: "Connection refused",
        fix: "enabled=yes in [general] of http.conf",
        mends: "asterisk -rx 'module reload http'",
    },
    Fault {
        breaks: "printf '[general](+)\\nenabled=no\\n' >> /etc/asterisk/ari.conf; \
                 asterisk -rx 'module reload res_ari.so'",
        variables: "",
        check: "ari",
        fact: "but no ARI",
        fix: "enabled=yes in ari.conf",
        mends: "asterisk -rx 'module reload res_ari.so'",
    },
    Fault {
        breaks: "sed -i 's/^password=.*/password=other/' /etc/asterisk/ari.conf; \
                 asterisk -rx 'module reload res_ari.so'",
        variables: "",
        check: "ari",
        fact: "refuses the user \"divert\" or its password",
        fix: "user and password must be those of ari.conf",
        mends: "asterisk -rx 'module reload res_ari.so'",
    },
    Fault {
        breaks: "sed -i 's/^DIVERT_APP=.*/DIVERT_APP=other/' /etc/asterisk/extensions.conf; \
                 asterisk -rx 'dialplan reload'",
        variables: "",
        check: "door",
        fact: "hands calls to \"other\"",
        fix: "DIVERT_APP=divert in [globals] of extensions.conf; asterisk -rx 'dialplan reload'",
        mends: "asterisk -rx 'dialplan reload'",
    },
    Fault {
        breaks: "sed -i '/^#include \"divert.conf\"/d' /etc/asterisk/extensions.conf",
        variables: "",
        check: "dialplan",
        fact: "there is no context divert-ari",
        fix: "divert print dialplan > /etc/asterisk/divert.conf",
        mends: "true",
    },
    Fault {
        breaks: "sed -i '/Gosub(divert-ari/d' /etc/asterisk/extensions.conf",
        variables: "",
        check: "dialplan",
        fact: "no context sends its calls to divert",
        fix: "Gosub(divert-ari,s,1(${EXTEN}))",
        mends: "true",
    },
    Fault {
        breaks: "sed -i '/=memory$/d' /etc/asterisk/sorcery.conf",
        variables: "",
        check: "sorcery",
        fact: "PJSIP takes no trunks from divert",
        fix: "divert print sorcery.conf >> /etc/asterisk/sorcery.conf; asterisk -rx 'core restart when",
        mends: "true",
    },
    Fault {
        breaks: "touch /etc/asterisk/sorcery.conf",
        variables: "",
        check: "sorcery",
        fact: "was changed after Asterisk was started",
        fix: "asterisk -rx 'core restart when convenient'",
        mends: "true",
    },
    Fault {
        breaks: "true",
        variables: "DIVERT_NODE_MASTER=main",
        check: "master",
        fact: "node.master is \"main\", but no server of the configuration is",
        fix: "master = \"master\" in [node] of divert.toml",
        mends: "true",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_whatever_is_taken_away_and_says_what_to_type() {
    let machine = Machine::start().await;
    machine.follow_the_page();
    machine.sh("cp -a /etc/asterisk /root/etc");
    assert_eq!(machine.wrong(""), Vec::<[String; 4]>::new());
    let mut missed = Vec::new();
    for fault in FAULTS {
        machine.sh(fault.breaks);
        let found = machine.wrong(fault.variables);
        let is_it = |[check, _, fact, fix]: &[String; 4]| {
            check == fault.check && fact.contains(fault.fact) && fix.contains(fault.fix)
        };
        if !found.iter().any(is_it) {
            missed.push(format!("{}\n  {found:?}", fault.breaks));
        }
        machine.sh(&format!("cp -a /root/etc/. /etc/asterisk; {}", fault.mends));
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(machine.wrong(""), Vec::<[String; 4]>::new(), "all is mended");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_for_every_module_that_the_dialplan_and_divert_use() {
    let machine = Machine::start().await;
    machine.follow_the_page();
    let known: BTreeSet<&str> = NEEDS.iter().flat_map(|need| need.any_of).copied().collect();
    let mut unknown = Vec::new();
    for (kind, name) in used_in_asterisk() {
        let command =
            format!("asterisk -rx 'core show {kind} {name}' | sed 's/\\x1b\\[[0-9;]*m//g'");
        let told = machine.sh(&command);
        let module = told.lines().skip_while(|line| *line != "[Provided By]").nth(1);
        let module = format!("{}.so", module.unwrap_or_else(|| panic!("{kind} {name}: {told}")));
        if module != "builtin.so" && !known.contains(module.as_str()) {
            unknown.push(format!("{kind} {name} of {module}"));
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");

    // Those that Asterisk lets go of, all at once.
    let mut gone = Vec::new();
    for need in NEEDS.iter().filter(|need| need.any_of.len() == 1) {
        let module = need.any_of[0];
        let is_app = !module.starts_with("res_ari") && module != "chan_pjsip.so";
        let (is_gone, _) = machine.run(&format!("asterisk -rx 'module unload {module}'"));
        let told = machine.sh("asterisk -rx 'module show'");
        if is_app && is_gone && !told.contains(module) {
            gone.push(module);
        } else {
            machine.run(&format!("asterisk -rx 'module load {module}'"));
        }
    }
    assert!(gone.contains(&"func_callerid.so") && gone.len() > 3, "{gone:?}");
    let found = machine.wrong("");
    let [_, _, fact, fix] = found.iter().find(|[check, ..]| check == "modules").unwrap();
    for module in gone {
        assert!(fact.contains(module), "{module}: {fact}");
        assert!(fix.contains(&format!("asterisk -rx 'module load {module}'")), "{fix}");
    }
}

/// Functions and applications of the shipped dialplan and of divert itself. The entry by FastAGI and
/// the fallback are not divert's way.
fn used_in_asterisk() -> BTreeSet<(&'static str, String)> {
    let mut used = BTreeSet::new();
    let files = [
        include_str!("../../asterisk/etc/divert.conf"),
        include_str!("../../asterisk/etc/extensions.conf"),
    ];
    for file in files {
        let mut is_ours = false;
        for line in file.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[') {
                is_ours = !["divert-agi]", "divert-fallback]", "divert-headers]", "general]"]
                    .contains(&name);
            }
            let Some(step) = line.strip_prefix("exten => ").or(line.strip_prefix("same => "))
            else {
                continue;
            };
            if !is_ours {
                continue;
            }
            let application =
                step.split('(').find_map(|part| part.rsplit_once(',')).map(|(_, a)| a);
            let name = application.unwrap_or_default();
            used.insert(("application", name.to_owned()));
            used.extend(functions(step).map(|name| ("function", name)));
        }
    }
    used.extend(
        Variable::VARIANTS
            .iter()
            .filter_map(|variable| variable.name().split_once('('))
            .map(|(function, _)| ("function", function.to_owned())),
    );
    used
}

/// `NAME` of each `NAME(` in capital letters, and of each that is set.
fn functions(step: &str) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = step.split('(').collect();
    let names = parts[..parts.len() - 1].iter().map(|part| {
        let start = part.rfind(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        part[start.map_or(0, |at| at + 1)..].to_owned()
    });
    names.filter(|name| name.len() > 1).collect::<Vec<_>>().into_iter()
}
