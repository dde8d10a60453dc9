//! What ARI does not tell, from Asterisk's files where this machine has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Finding;

const MIN_SESSIONS: u32 = 200;
/// Deeper than anybody nests files; a file that includes itself ends there.
const MAX_DEPTH: u32 = 8;
/// The dialplan of this divert.
const DIALPLAN: &str = include_str!("../../../asterisk/etc/divert.conf");
/// People are asked to put their own routing there.
const FALLBACK: &str = "divert-fallback";
/// Where calls enter divert.
const ENTRY: &str = "divert-ari";

/// What the files must agree with.
pub(super) struct Expected<'a> {
    /// `/etc/asterisk`; `None` when Asterisk is another machine.
    pub etc: Option<&'a Path>,
    /// Where test calls enter the dialplan.
    pub test_context: &'a str,
    /// There are trunks that divert makes itself.
    pub makes_trunks: bool,
    /// When Asterisk was started, in Unix seconds.
    pub started_sec: Option<i64>,
}

impl Expected<'_> {
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![
            self.read("http.conf", "sessions", "sessionlimit", judge_sessions),
            self.read("ari.conf", "variables", "channelvars", judge_channelvars),
        ];
        match self.etc.and_then(Dialplan::read) {
            Some(dialplan) => findings.extend(dialplan.judge(self.test_context)),
            None => findings.push(Finding::unchecked(
                "dialplan",
                "extensions.conf can not be read from here",
                format!("asterisk -rx 'dialplan show {ENTRY}'"),
            )),
        }
        if self.makes_trunks {
            findings.push(self.read("sorcery.conf", "sorcery", "res_pjsip", |text| {
                judge_sorcery(text, self.is_newer_than_asterisk("sorcery.conf"))
            }));
        }
        findings
    }

    /// A finding about one file, or where to look for what it would have told.
    fn read(
        &self,
        name: &str,
        check: &'static str,
        what: &str,
        judge: impl Fn(&str) -> Finding,
    ) -> Finding {
        let folder = self.etc.unwrap_or(Path::new("/etc/asterisk"));
        let path = folder.join(name);
        let text = self.etc.map(|_| fs::read_to_string(&path));
        text.and_then(Result::ok).map_or_else(
            || {
                let path = path.display();
                let fact = format!("{what}: {path} can not be read from here");
                Finding::unchecked(check, fact, format!("grep {what} {path}"))
            },
            |text| judge(&text),
        )
    }

    fn is_newer_than_asterisk(&self, name: &str) -> bool {
        let changed = || {
            let meta = fs::metadata(self.etc?.join(name)).ok()?;
            let changed = jiff::Timestamp::try_from(meta.modified().ok()?).ok()?;
            Some(changed.as_second() > self.started_sec?)
        };
        changed().unwrap_or(false)
    }
}

fn judge_sessions(http_conf: &str) -> Finding {
    let limit = value_of(http_conf, "sessionlimit").unwrap_or("100");
    match limit.parse::<u32>() {
        Ok(limit) if limit >= MIN_SESSIONS => {
            Finding::good("sessions", format!("sessionlimit {limit}"))
        }
        _ => Finding::warning(
            "sessions",
            format!("sessionlimit {limit}: idle connections can lock divert out"),
            "sessionlimit=1000 in [general] of http.conf; asterisk -rx 'module reload http'",
        ),
    }
}

/// A function in `channelvars` is run for every event, and some block the channel for ever.
fn judge_channelvars(ari_conf: &str) -> Finding {
    let names = value_of(ari_conf, "channelvars").unwrap_or_default();
    let names: Vec<&str> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
    let functions: Vec<&str> = names.iter().filter(|name| name.contains('(')).copied().collect();
    if functions.is_empty() {
        return Finding::good("variables", "channelvars runs no functions");
    }
    Finding::bad(
        "variables",
        format!("channelvars runs functions: {}", functions.join(" ")),
        "channelvars=DIVERT_CALL,DIVERT_LEG in [general] of ari.conf; asterisk -rx 'module reload \
         res_ari.so'",
    )
}

/// The first source that can write gets what divert makes; a file can not.
fn judge_sorcery(sorcery_conf: &str, is_newer: bool) -> Finding {
    const RESTART: &str = "asterisk -rx 'core restart when convenient' (it waits until there are no \
                           calls; 'core restart now' would end them)";
    let has_writer = |object: &str| {
        let lines = sections(sorcery_conf).into_iter().filter(|(name, _)| *name == "res_pjsip");
        let mut settings = lines.flat_map(|(_, lines)| lines).filter_map(|line| setting(line));
        settings.any(|(key, value)| key == object && !value.starts_with("config"))
    };
    if !has_writer("endpoint") || !has_writer("aor") {
        return Finding::bad(
            "sorcery",
            "PJSIP takes no trunks from divert: those with an address can not be called",
            format!("divert print sorcery.conf >> /etc/asterisk/sorcery.conf; {RESTART}"),
        );
    }
    if is_newer {
        let fact = "sorcery.conf was changed after Asterisk was started, and is read only then";
        return Finding::bad("sorcery", fact, RESTART);
    }
    Finding::good("sorcery", "PJSIP takes trunks from divert")
}

/// `extensions.conf` with everything it includes.
struct Dialplan {
    text: String,
    /// Some of it could not be read.
    is_partial: bool,
}

impl Dialplan {
    fn read(etc: &Path) -> Option<Self> {
        let mut dialplan = Self { text: String::new(), is_partial: false };
        dialplan.add(etc, "extensions.conf", 0).then_some(dialplan)
    }

    fn add(&mut self, etc: &Path, name: &str, depth: u32) -> bool {
        let Ok(text) = fs::read_to_string(etc.join(name)) else { return false };
        for line in text.lines() {
            let words = line.trim().strip_prefix('#').and_then(|line| line.split_once(' '));
            match words {
                Some(("include" | "tryinclude", file)) => {
                    let file = file.split(';').next().unwrap_or_default().trim();
                    let file = file.trim_matches(['"', '<', '>']);
                    self.is_partial |= depth >= MAX_DEPTH || !self.add(etc, file, depth + 1);
                }
                Some(("exec", _)) => self.is_partial = true,
                _ => {
                    self.text.push_str(line);
                    self.text.push('\n');
                }
            }
        }
        true
    }

    fn judge(&self, test_context: &str) -> Vec<Finding> {
        let found = sections(&self.text);
        let contexts: BTreeSet<&str> = found.iter().map(|(name, _)| *name).collect();
        let reload = "asterisk -rx 'dialplan reload'";
        let unsure = |finding: Finding| {
            if !self.is_partial {
                return finding;
            }
            let fact = format!("{}, or where extensions.conf can not be followed", finding.fact);
            Finding::unchecked("dialplan", fact, finding.fix.unwrap_or_default())
        };
        if !contexts.contains(ENTRY) {
            let fact = format!("there is no context {ENTRY}: no call can reach divert");
            let fix = format!(
                "divert print dialplan > /etc/asterisk/divert.conf; #include \"divert.conf\" in \
                 extensions.conf; {reload}"
            );
            return vec![unsure(Finding::bad("dialplan", fact, fix))];
        }
        let mut findings = Vec::new();
        if differs(&self.text) {
            findings.push(Finding::warning(
                "dialplan",
                "divert.conf is not that of this version of divert",
                format!(
                    "divert print dialplan | diff /etc/asterisk/divert.conf -; divert print dialplan \
                     > /etc/asterisk/divert.conf; {reload}"
                ),
            ));
        }
        let doors: BTreeSet<&str> = found
            .iter()
            .filter(|(_, lines)| lines.iter().any(|line| leads_to_divert(line)))
            .map(|(name, _)| *name)
            .collect();
        let door = doors.iter().next().copied().unwrap_or("from-carrier");
        if doors.is_empty() {
            let fact = "no context sends its calls to divert";
            let fix = format!(
                "exten => _[0-9+]!,1,Gosub({ENTRY},s,1(${{EXTEN}})) in the context of your carrier; \
                 {reload}"
            );
            findings.push(unsure(Finding::bad("dialplan", fact, fix)));
        } else if !contexts.contains(test_context) {
            let fact = format!("there is no context {test_context:?}: test calls will not arrive");
            let fix = format!("context = {door:?} in [test_calls] of divert.toml");
            findings.push(unsure(Finding::warning("dialplan", fact, fix)));
        }
        if findings.is_empty() {
            let doors: Vec<&str> = doors.into_iter().collect();
            findings.push(Finding::good(
                "dialplan",
                format!("calls reach divert from {}", doors.join(", ")),
            ));
        }
        findings
    }
}

/// Whether a line of the dialplan hands the call over, by name or as `divert-${DIVERT_ENTRY}`.
fn leads_to_divert(line: &str) -> bool {
    line.contains("divert-ari,s,1(") || line.contains("divert-${DIVERT_ENTRY},s,1(")
}

/// Whether a context of ours is not as this version has it.
fn differs(dialplan: &str) -> bool {
    let theirs = sections(dialplan);
    sections(DIALPLAN).iter().filter(|(name, _)| *name != FALLBACK).any(|own| !theirs.contains(own))
}

/// The sections of one of Asterisk's files with their lines, without comments and what is empty. A
/// section that comes twice is there twice.
fn sections(conf: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in conf.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            sections.push((name, Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut().filter(|_| !line.is_empty()) {
            lines.push(line);
        }
    }
    sections
}

fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim_start_matches('>').trim()))
}

/// The value of a key in the `[general]` of one of Asterisk's files, also where more was added to it
/// further down; the last one counts.
fn value_of<'a>(conf: &'a str, key: &str) -> Option<&'a str> {
    let general = sections(conf).into_iter().filter(|(name, _)| *name == "general");
    let mut settings = general.flat_map(|(_, lines)| lines).filter_map(setting);
    settings.rfind(|(found, _)| *found == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const HTTP: &str = include_str!("../../../asterisk/etc/http.conf");
    const ARI: &str = include_str!("../../../asterisk/etc/ari.conf");
    const EXTENSIONS: &str = include_str!("../../../asterisk/etc/extensions.conf");
    const SORCERY: &str = include_str!("../../../asterisk/etc/sorcery.conf");

    fn dialplan(text: &str) -> Vec<(State, String)> {
        let etc = tempfile::tempdir().unwrap();
        fs::write(etc.path().join("extensions.conf"), text).unwrap();
        fs::write(etc.path().join("divert.conf"), DIALPLAN).unwrap();
        let findings = Dialplan::read(etc.path()).unwrap().judge("from-carrier");
        findings.into_iter().map(|finding| (finding.state, finding.fact)).collect()
    }

    #[test]
    fn the_shipped_files_are_good() {
        assert_eq!(judge_sessions(HTTP), Finding::good("sessions", "sessionlimit 1000"));
        assert_eq!(judge_channelvars(ARI).state, State::Good);
        assert_eq!(judge_sorcery(SORCERY, false).state, State::Good);
        let good = "calls reach divert from from-carrier".to_owned();
        assert_eq!(dialplan(EXTENSIONS), [(State::Good, good)]);
    }

    #[test]
    fn a_function_in_channelvars_is_an_error() {
        let text = "[general]\nchannelvars = DIVERT_CALL,CHANNEL(state) ; x\n[divert]\n";
        assert_eq!(judge_channelvars(text).state, State::Bad);
        assert_eq!(judge_channelvars("[general]\n").state, State::Good);
    }

    #[test]
    fn the_last_line_of_general_counts_wherever_it_stands() {
        assert_eq!(judge_sessions("[other]\nsessionlimit=900\n").state, State::Warning);
        let added = "[general]\nsessionlimit=100\n[x]\n[general](+)\nsessionlimit=900\n";
        assert_eq!(judge_sessions(added).state, State::Good);
    }

    #[test]
    fn trunks_of_divert_need_a_source_that_can_write_and_a_restart() {
        assert_eq!(judge_sorcery("[general]\n", false).state, State::Bad);
        let file_only = "[res_pjsip]\nendpoint=config,pjsip.conf,criteria=type=endpoint\n";
        assert_eq!(judge_sorcery(file_only, false).state, State::Bad);
        let no_aor = "[res_pjsip]\nendpoint=memory\naor=config,pjsip.conf,criteria=type=aor\n";
        assert_eq!(judge_sorcery(no_aor, false).state, State::Bad);
        let unread = judge_sorcery(SORCERY, true);
        assert_eq!(unread.state, State::Bad);
        assert!(unread.fix.unwrap().contains("core restart when convenient"));
    }

    #[test]
    fn a_dialplan_that_does_not_lead_to_divert_is_told() {
        let [(state, fact)] = &dialplan("[globals]\nDIVERT_APP=divert\n")[..] else { panic!() };
        assert_eq!(*state, State::Bad);
        assert!(fact.contains("no context divert-ari"), "{fact}");

        let [(state, fact)] = &dialplan("[in]\n#include \"divert.conf\"\n")[..] else { panic!() };
        assert_eq!(*state, State::Bad);
        assert!(fact.contains("no context sends"), "{fact}");

        let text = "[mine]\nexten => _X!,1,Gosub(divert-ari,s,1(${EXTEN}))\n#include divert.conf\n";
        let [(state, fact)] = &dialplan(text)[..] else { panic!() };
        assert_eq!(*state, State::Warning);
        assert!(fact.contains("\"from-carrier\": test calls"), "{fact}");

        let [(state, _)] = &dialplan("#include \"dialplan.d/*.conf\"\n")[..] else { panic!() };
        assert_eq!(*state, State::Unchecked, "it may stand there");
    }

    #[test]
    fn an_old_divert_conf_is_told_and_an_own_fallback_is_not() {
        assert!(!differs(DIALPLAN));
        assert!(!differs(&DIALPLAN.replace("Hangup(34)", "Dial(PJSIP/1)")), "own fallback");
        assert!(differs(&DIALPLAN.replace("TIMEOUT(absolute)=2", "TIMEOUT(absolute)=9")));
    }
}
