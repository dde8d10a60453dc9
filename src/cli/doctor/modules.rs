//! The modules of Asterisk without which calls go wrong, and what each is for.

use serde_json::Value;

use super::Finding;

/// Something divert or its dialplan asks of Asterisk, and the modules of which one must be there.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub any_of: &'static [&'static str],
    /// What goes wrong without it.
    pub what: &'static str,
}

const fn need(any_of: &'static [&'static str], what: &'static str) -> Need {
    Need { any_of, what }
}

/// All of them, in the order in which a call comes to them.
pub const NEEDS: &[Need] = &[
    need(&["res_ari.so"], "ARI"),
    need(&["res_ari_events.so"], "events"),
    need(&["res_ari_applications.so"], "which events come"),
    need(&["res_ari_asterisk.so"], "the heartbeat, trunks with an address"),
    need(&["res_ari_channels.so"], "every step of a call"),
    need(&["res_ari_bridges.so"], "conversations"),
    need(&["res_ari_endpoints.so"], "the state of trunks"),
    need(&["res_stasis.so"], "ARI"),
    need(&["app_stasis.so"], "Stasis(): calls reach divert"),
    need(&["app_stack.so"], "Gosub(): calls reach divert"),
    need(&["func_channel.so"], "CHANNEL(): what is no call to a number, and how a call ended"),
    need(&["func_strings.so"], "LEN(), FILTER(): what is no DID, and the age of the heartbeat"),
    need(&["func_rand.so"], "RAND(): calls beyond what divert can take"),
    need(&["func_timeout.so"], "TIMEOUT(): calls end although divert is away"),
    need(&["func_logic.so"], "IF(), IMPORT(), SET(): the other side ends although divert is away"),
    need(&["func_global.so"], "GLOBAL(), SHARED(): what ended while divert was away"),
    need(&["func_cut.so"], "CUT(): what ended while divert was away"),
    need(&["func_hangupcause.so"], "HANGUPCAUSE(): why it ended"),
    need(&["func_uri.so"], "URIENCODE(): whose call ended"),
    need(&["func_callerid.so"], "CALLERID(), CONNECTEDLINE(): who calls"),
    need(
        &["func_cdr.so"],
        "CDR(): when a leg was answered; CDR_PROP(): test calls stay out of Asterisk's records",
    ),
    need(&["chan_pjsip.so"], "calls over SIP"),
    need(&["res_pjsip_header_funcs.so"], "PJSIP_HEADER(): X-Divert-Call for who is called"),
    need(&["res_sorcery_memory.so"], "trunks with an address"),
    need(&["bridge_simple.so", "bridge_softmix.so"], "conversations"),
];

/// What is made of Asterisk's list of modules.
pub(super) fn judge(loaded: &[Value]) -> Finding {
    let running = |name: &&&str| {
        loaded.iter().any(|module| module["name"] == ***name && module["status"] == "Running")
    };
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|need| need.any_of.iter().find(running).is_none()).collect();
    if missing.is_empty() {
        return Finding::good("modules", format!("all {} that divert needs", NEEDS.len()));
    }
    let each = |text: &dyn Fn(&Need) -> String| missing.iter().map(|need| text(need)).collect();
    let facts: Vec<String> = each(&|need| format!("{} ({})", need.any_of[0], need.what));
    let commands: Vec<String> =
        each(&|need| format!("asterisk -rx 'module load {}'", need.any_of[0]));
    let lines: Vec<String> = each(&|need| format!("load={}", need.any_of[0]));
    Finding::bad(
        "modules",
        format!("not running: {}", facts.join(", ")),
        format!("{}; in modules.conf no noload, but {}", commands.join("; "), lines.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::State;
    use super::*;

    fn all() -> Vec<Value> {
        let names = NEEDS.iter().map(|need| need.any_of[0]);
        names.map(|name| json!({ "name": name, "status": "Running" })).collect()
    }

    #[test]
    fn each_missing_module_is_told_with_what_it_is_for_and_how_to_load_it() {
        assert_eq!(judge(&all()).state, State::Good);
        for at in 0..NEEDS.len() {
            let mut loaded = all();
            loaded[at]["status"] = "Not Running".into();
            let finding = judge(&loaded);
            let name = NEEDS[at].any_of[0];
            assert_eq!(finding.state, State::Bad, "{name}");
            assert_eq!(finding.fact, format!("not running: {name} ({})", NEEDS[at].what));
            assert!(finding.fix.unwrap().contains(&format!("'module load {name}'")), "{name}");
        }
    }

    #[test]
    fn one_of_two_that_do_the_same_is_enough() {
        let mut loaded = all();
        loaded.pop();
        loaded.push(json!({ "name": "bridge_softmix.so", "status": "Running" }));
        assert_eq!(judge(&loaded).state, State::Good);
    }
}
