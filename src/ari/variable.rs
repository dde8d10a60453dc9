//! Every variable divert may set in Asterisk.
//!
//! Setting a variable executes dialplan functions, some of which write SIP headers, so a name is
//! never made from anything a user typed: the list below is all there is. Values are checked where
//! they are sent.

use strum::VariantArray;

use crate::model::id::ChannelId;
use crate::model::text::unseen;

/// A variable or function of one channel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, VariantArray)]
pub enum Variable {
    /// Hangs the channel up that many seconds from now, whatever becomes of divert; 0 clears it.
    AbsoluteTimeout,
    /// `DIVERT_CALL`: the call's id, in the channel's JSON where ari.conf's `channelvars` names it.
    Call,
    /// `1`: Asterisk writes no CDR of its own for the channel.
    CdrDisable,
    /// Header `X-Divert-Call` of the INVITE to come.
    CallHeader,
    /// `DIVERT_CALLER`: the channel of the caller a leg is dialled for.
    CallerChannel,
    /// The name a caller's channel has, in any script.
    CallerName,
    /// The number a caller's channel has.
    CallerNumber,
    /// Whether number and name of a caller's channel may be shown.
    CallerPresentation,
    /// The name a leg shows to who is called.
    ConnectedName,
    /// The number a leg shows to who is called.
    ConnectedNumber,
    /// `DIVERT_DESTINATION`: which destination a leg calls, for the mark of its end.
    Destination,
    /// `DIVERT_ENDPOINT`: what a leg dials.
    Endpoint,
    /// What the dialplan does when the channel ends, whatever becomes of divert.
    HangupHandler,
    /// `DIVERT_LEG`: the leg's number.
    Leg,
    /// `DIVERT_SLOT`: where the mark of a leg's end is left.
    Slot,
    /// Header `X-Divert-Test` of the INVITE to come, of a test call.
    TestHeader,
    /// `DIVERT_TRUNK`: which trunk a leg goes over.
    Trunk,
}

impl Variable {
    /// The name as Asterisk wants it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AbsoluteTimeout => "TIMEOUT(absolute)",
            Self::Call => "DIVERT_CALL",
            Self::CdrDisable => "CDR_PROP(disable)",
            Self::CallHeader => "PJSIP_HEADER(add,X-Divert-Call)",
            Self::CallerChannel => "DIVERT_CALLER",
            Self::CallerName => "CALLERID(name)",
            Self::CallerNumber => "CALLERID(num)",
            Self::CallerPresentation => "CALLERID(pres)",
            Self::ConnectedName => "CONNECTEDLINE(name,i)",
            Self::ConnectedNumber => "CONNECTEDLINE(num,i)",
            Self::Destination => "DIVERT_DESTINATION",
            Self::Endpoint => "DIVERT_ENDPOINT",
            Self::HangupHandler => "CHANNEL(hangup_handler_push)",
            Self::Leg => "DIVERT_LEG",
            Self::Slot => "DIVERT_SLOT",
            Self::TestHeader => "PJSIP_HEADER(add,X-Divert-Test)",
            Self::Trunk => "DIVERT_TRUNK",
        }
    }
}

/// A variable of the whole Asterisk, of which each application has its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Global {
    /// Unix time in seconds of our last sign of life: the dialplan falls back when it is old.
    Beat,
    /// How many percent of the calls the dialplan keeps from us, because there are too many or we
    /// are about to stop.
    Shed,
}

impl Global {
    /// The name as Asterisk wants it.
    #[must_use]
    pub fn name(self, app: &str) -> String {
        match self {
            Self::Beat => format!("DIVERT_BEAT_{app}"),
            Self::Shed => format!("DIVERT_SHED_{app}"),
        }
    }
}

/// The variable of a caller that names its latest leg, which the leg sets where it is created.
/// `None` where the channel's id, chosen by somebody else, would mean something to a dialplan.
pub(super) fn shared_leg(caller: &ChannelId) -> Option<String> {
    is_plain(caller).then(|| format!("SHARED(DIVERT_LEG,{caller})"))
}

/// Whether an id may stand among the arguments of a dialplan function.
#[must_use]
pub fn is_plain(channel: &ChannelId) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_VALUE).contains(&channel.0.len()) && channel.0.bytes().all(plain)
}

/// Longest value sent, in bytes.
pub const MAX_VALUE: usize = 128;

/// What is wrong with a value for this variable, if anything.
pub(super) fn fault_for(variable: Variable, value: &str) -> Option<&'static str> {
    match variable {
        // Names have any script; what may not be in them is the same as everywhere.
        Variable::CallerName if unseen(value).is_none() => {
            fault(&value.replace(|c: char| !c.is_ascii(), "."))
        }
        _ => fault(value),
    }
}

/// What is wrong with a value, if anything: printable ASCII only, since a line feed would begin a
/// SIP header of its own; and nothing a dialplan could expand when it reads the value again.
pub(super) fn fault(value: &str) -> Option<&'static str> {
    if value.len() > MAX_VALUE {
        return Some("the value of a variable is longer than 128 characters");
    }
    if !value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Some("the value of a variable is not printable ASCII");
    }
    if value.contains("${") || value.contains("$[") {
        return Some("the value of a variable could be expanded by the dialplan");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_caller_is_told_of_its_leg() {
        let name = |id: &str| shared_leg(&ChannelId(id.into()));
        assert_eq!(name("1795.1").as_deref(), Some("SHARED(DIVERT_LEG,1795.1)"));
        for bad in ["", "a,b", "a)", "${x}", "a b", "a/1", &"1".repeat(129)] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_harmless_values_pass() {
        for good in ["", "1", "call_01 (x)", "$5", &"x".repeat(128)] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["a\r\nX: 1", "\0", "\x7f", "é", "${SHELL(id)}", "$[1+1]", &"x".repeat(129)] {
            assert!(fault(bad).is_some(), "{bad}");
            let names_may = bad == "é";
            assert_eq!(fault_for(Variable::CallerName, bad).is_none(), names_may, "{bad}");
            assert!(fault_for(Variable::CallerNumber, bad).is_some(), "{bad}");
        }
        assert!(fault_for(Variable::CallerName, "\u{85}").is_some());
    }
}
