//! Who a channel says is calling, and what it must say instead.
//!
//! A dialled leg shows whatever the caller's channel holds, and Asterisk writes nearly every byte of
//! that into `From` and `P-Asserted-Identity` (RFC 3261 §20.20, RFC 3325). So what is unfit for a
//! header is corrected on the caller's channel, before anybody is called for it. A caller who
//! withholds the number is nobody here, whatever a trusting carrier told Asterisk besides; the
//! channel keeps it, marked as private, and Asterisk keeps it to itself.

use super::variable::Variable;
use crate::model::number::{Caller, is_word_for_nobody};

/// Whether a caller withholds the number.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Privacy {
    #[default]
    No,
    /// And Asterisk has marked the channel so.
    Marked,
    /// And Asterisk has not taken note of it.
    Unmarked,
}

impl Privacy {
    /// Reads what the dialplan tells behind the DID: the value of `CALLERID(pres)`; 1 where the From
    /// header names nobody; the value of the Privacy header (RFC 3323 §4.2: words with semicolons
    /// between them). What is missing says nothing.
    #[must_use]
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = words.into_iter();
        if words.next().is_some_and(|presentation| presentation.starts_with("prohib")) {
            return Self::Marked;
        }
        let is_nameless = words.next() == Some("1");
        // `full` is of the drafts of the standard. `session` and `history` hide other things.
        let hides = |word: &str| {
            ["id", "user", "header", "full"]
                .iter()
                .any(|known| word.trim().eq_ignore_ascii_case(known))
        };
        if is_nameless || words.flat_map(|words| words.split(';')).any(hides) {
            return Self::Unmarked;
        }
        Self::No
    }

    #[must_use]
    pub fn is_withheld(self) -> bool {
        self != Self::No
    }
}

/// The caller on a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    pub caller: Caller,
    /// What has to be set on the channel; empty for nearly every call.
    pub corrections: Vec<(Variable, String)>,
}

impl Identity {
    /// Reads what Asterisk tells of a channel. A name is what stood between the quotes on the wire,
    /// with its escapes: left there, each hop would add another backslash to every one of them.
    /// A carrier that knows no number writes `anonymous` or another such word in its place.
    #[must_use]
    pub fn of(number: &str, name: &str, privacy: Privacy) -> Self {
        let clean = Caller::clean(number, &unescape(name));
        let is_anonymous = is_word_for_nobody(&clean.number);
        let parts = [
            (Variable::CallerName, name, &clean.name),
            (Variable::CallerNumber, number, &clean.number),
        ];
        let differing = parts.into_iter().filter(|(_, raw, clean)| raw != clean);
        let mut corrections: Vec<_> =
            differing.map(|(variable, _, clean)| (variable, clean.clone())).collect();
        if privacy == Privacy::Unmarked || (privacy == Privacy::No && is_anonymous) {
            corrections.push((Variable::CallerPresentation, WITHHELD.to_owned()));
        }
        let caller = if privacy.is_withheld() || is_anonymous { Caller::default() } else { clean };
        Self { caller, corrections }
    }
}

/// `\"` is a quote and `\\` a backslash (RFC 3261 §25.1, quoted-pair).
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        // A backslash at the end was cut off from what it belonged to.
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

const WITHHELD: &str = "prohib_not_screened";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clean_is_left_alone() {
        for (number, name) in [("+12025550199", "Ann"), ("", ""), ("ann.b", "Zoë 東京; <x>")] {
            let identity = Identity::of(number, name, Privacy::No);
            assert_eq!(identity.caller, Caller { number: number.into(), name: name.into() });
            assert_eq!(identity.corrections, []);
        }
    }

    #[test]
    fn what_is_unfit_for_a_header_is_corrected_part_by_part() {
        let name = |text: &str| vec![(Variable::CallerName, text.to_owned())];
        let of = |number: &str, name: &str| Identity::of(number, name, Privacy::No).corrections;
        assert_eq!(of("1", "A\r\nX: 1"), name("AX: 1"));
        assert_eq!(of("1", "A \\\"B\\\" \\\\"), name("A \"B\" \\"));
        assert_eq!(of("1", "cut\\"), name("cut"));
        assert_eq!(of("1\n2", "Ann"), [(Variable::CallerNumber, "12".to_owned())]);
        assert_eq!(of("1\n", "\n").len(), 2);
    }

    #[test]
    fn a_withheld_caller_is_nobody_and_corrected_all_the_same() {
        let identity = Identity::of("+12025550199", "A\nB", Privacy::Marked);
        assert_eq!(identity.caller, Caller::default());
        assert_eq!(identity.corrections, [(Variable::CallerName, "AB".to_owned())]);
        for word in ["Anonymous", "Restricted", "unavailable"] {
            let unknown = Identity::of(word, word, Privacy::No);
            assert_eq!(unknown.caller, Caller::default());
            assert_eq!(unknown.corrections, [(Variable::CallerPresentation, WITHHELD.to_owned())]);
        }
        let mark = vec![(Variable::CallerPresentation, WITHHELD.to_owned())];
        let unmarked = Identity::of("+12025550199", "Ann", Privacy::Unmarked);
        assert_eq!(unmarked, Identity { caller: Caller::default(), corrections: mark });
    }

    #[test]
    fn a_caller_withholds_the_number_in_any_way_there_is() {
        use Privacy::{Marked, No, Unmarked};
        for (words, wanted) in [
            (&["prohib_not_screened"][..], Marked),
            (&["prohib", "0", ""], Marked),
            (&["prohib_passed_screen", "1", "id"], Marked),
            (&["allowed_not_screened", "1", ""], Unmarked),
            (&["allowed_not_screened", "0", "id"], Unmarked),
            (&["allowed_not_screened", "0", "ID;critical"], Unmarked),
            (&["", "0", "session; user"], Unmarked),
            (&["", "0", "header"], Unmarked),
            (&["", "0", "full"], Unmarked),
            (&["", "0", "none", " id"], Unmarked),
            (&["allowed_passed_screen", "0", ""], No),
            (&["allowed_passed_screen", "0", "none"], No),
            (&["", "0", "session;history;critical"], No),
            (&["", "0", "identity"], No),
            (&["unavailable"], No),
            (&["", ""], No),
            (&[], No),
        ] {
            assert_eq!(Privacy::of(words.iter().copied()), wanted, "{words:?}");
        }
    }
}
