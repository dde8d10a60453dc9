//! Numbers: a DID is a routing key and stays byte-exact; a dialled number goes into a SIP URI.
//!
//! The two are never derived from each other silently.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::number_plan::NumberPlan;
use super::object::texts;
use crate::model::text::visible;

/// Longest DID or dialled number, in characters.
pub const MAX_LEN: usize = 50;

/// Why a text is not a number of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    Character(char),
    Empty,
    TooLong(usize),
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(bad) => {
                write!(f, "{bad:?} cannot be part of it; use letters, digits and _ - . * # + only")
            }
            Self::Empty => f.write_str("it is empty; type the number as the carrier sends it"),
            Self::TooLong(len) => write!(f, "it has {len} characters; {MAX_LEN} are the most"),
        }
    }
}

impl std::error::Error for NumberError {}

fn check(text: &str) -> Result<(), NumberError> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "_-.*#+".contains(*c);
    match text.chars().find(|c| !allowed(c)) {
        _ if text.is_empty() => Err(NumberError::Empty),
        Some(bad) => Err(NumberError::Character(bad)),
        None if text.len() > MAX_LEN => Err(NumberError::TooLong(text.len())),
        None => Ok(()),
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<Self, NumberError> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NumberError;

            fn try_from(text: String) -> Result<Self, NumberError> {
                check(&text).map(|()| Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(number: $name) -> Self {
                number.as_str().to_owned()
            }
        }
    )*};
}

numbers! {
    /// The number a call arrives on, exactly as the carrier delivers it: case-sensitive, 1 to 50 of
    /// letters, digits and `_ - . * # +`, never normalised.
    Did;
    /// What is put before the `@` when divert dials: the same characters as a [`Did`].
    DialNumber;
}

texts! {
    DialNumber "a number to dial" "^[A-Za-z0-9_.*#+-]{1,50}$";
    Did "a DID" "^[A-Za-z0-9_.*#+-]{1,50}$";
    TollFree "a toll-free number" "^[A-Za-z0-9_.*#+() -]{1,50}$";
}

impl DialNumber {
    /// The number as the user part of a SIP URI: `#` must be escaped there (RFC 3261 §25.1).
    #[must_use]
    pub fn sip_user(&self) -> String {
        self.0.replace('#', "%23")
    }
}

/// A toll-free number of the North American plan: 800, 833, 844, 855, 866, 877 or 888 and seven
/// digits, kept as its ten digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TollFree(Arc<str>);

impl TollFree {
    const AREAS: [&str; 7] = ["800", "833", "844", "855", "866", "877", "888"];

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is dialled: with the country's 1 and without a `+`.
    #[must_use]
    pub fn dialled(&self) -> DialNumber {
        DialNumber(format!("1{}", self.0).into())
    }
}

impl fmt::Display for TollFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TollFree {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (is_international, digits) =
            text.strip_prefix('+').map_or((false, text), |digits| (true, digits));
        let digits: String = digits.chars().filter(|c| !"-. ()".contains(*c)).collect();
        let has_country = is_international || digits.len() == 11;
        let ten = if has_country { digits.strip_prefix('1') } else { Some(&*digits) };
        let ten = ten.unwrap_or_default();
        if !ten.bytes().all(|digit| digit.is_ascii_digit()) || ten.len() != 10 {
            return Err("a toll-free number has 10 digits, with or without +1 before them");
        }
        if !Self::AREAS.contains(&&ten[..3]) {
            return Err(
                "it begins with 800, 833, 844, 855, 866, 877 or 888; for any other number \
                        type trunk: and number:",
            );
        }
        if ten.as_bytes()[3] < b'2' {
            return Err("the digit behind the first three is 2 to 9");
        }
        Ok(Self(ten.into()))
    }
}

impl TryFrom<String> for TollFree {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TollFree> for String {
    fn from(number: TollFree) -> Self {
        number.as_str().to_owned()
    }
}

pub(super) fn digits_of(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

/// What carriers and telephones send as the number of somebody who has none, or does not tell it.
const NOBODY: [&str; 7] =
    ["anonymous", "blocked", "private", "restricted", "unavailable", "unknown", "withheld"];

/// Whether a word stands in place of the number, as `anonymous` (RFC 3323 §4.1.1.3).
#[must_use]
pub fn is_word_for_nobody(number: &str) -> bool {
    NOBODY.iter().any(|word| number.eq_ignore_ascii_case(word))
}

/// Digits that many callers share whose number nobody knows: one of the words above as it is typed
/// on a telephone (`7378742833` is `RESTRICTED`), perhaps with the 1 of North America before it, or
/// one digit again and again.
fn is_placeholder(digits: &str) -> bool {
    let bare = digits.strip_prefix('1').unwrap_or(digits);
    let spells = |word: &&str| {
        [digits, bare]
            .iter()
            .any(|digits| digits.len() == word.len() && word.chars().map(key_of).eq(digits.chars()))
    };
    is_one_digit(digits) || is_one_digit(bare) || NOBODY.iter().any(spells)
}

fn is_one_digit(digits: &str) -> bool {
    digits.bytes().all(|digit| digits.starts_with(char::from(digit)))
}

/// The key with this letter (ITU-T E.161).
fn key_of(letter: char) -> char {
    match letter {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        _ => '9',
    }
}

/// A caller as one is known again: digits only, in international form where the flow's
/// [`NumberPlan`] can tell.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct CallerKey(Arc<str>);

impl CallerKey {
    /// Shorter numbers are extensions and service codes, shared by many.
    const LEAST_DIGITS: usize = 5;

    /// `None` for a caller who cannot be known again: withheld, too short, not a number, or one that
    /// stands for nobody.
    #[must_use]
    pub fn of(number: &str, plan: &NumberPlan) -> Option<Self> {
        let digits = digits_of(number);
        let is_number = !number.chars().any(char::is_alphabetic);
        if digits.len() < Self::LEAST_DIGITS || !is_number || is_placeholder(&digits) {
            return None;
        }
        let key = plan.international(number);
        (!is_one_digit(plan.at_home(&key))).then(|| Self(key.into()))
    }

    /// One that was made before.
    #[must_use]
    pub fn kept(text: &str) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CallerKey {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::kept(text))
    }
}

/// Who calls: number and name as the carrier sent them, cleaned of what must not reach a header.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Caller {
    /// Empty when withheld.
    pub number: String,
    pub name: String,
}

impl Caller {
    /// Longest name or number kept, in bytes.
    const MAX_BYTES: usize = 80;

    /// What must not stand in a SIP header is dropped and length is capped: from both what nobody
    /// sees, and the `$` by which a dialplan would expand the rest; from a number also all that would
    /// need an escape in a SIP address.
    #[must_use]
    pub fn clean(number: &str, name: &str) -> Self {
        let in_number = |c: &char| c.is_ascii_alphanumeric() || "+*#-_.!~'()".contains(*c);
        let cap = |mut text: String| {
            let mut end = text.len().min(Self::MAX_BYTES);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text
        };
        let mut plain = String::with_capacity(name.len());
        for c in visible(name).chars() {
            if matches!(c, '{' | '[') {
                // All of them: of two, the one that is left would begin the same again.
                plain.truncate(plain.trim_end_matches('$').len());
            }
            plain.push(c);
        }
        Self { number: cap(number.chars().filter(in_number).collect()), name: cap(plain) }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number.as_str(), self.name.as_str()) {
            ("", "") => f.write_str("anonymous"),
            ("", name) => f.write_str(name),
            (number, "") => f.write_str(number),
            (number, name) => write!(f, "{name} <{number}>"),
        }
    }
}

impl Did {
    /// The same with a `+` in front, or without the one it has.
    #[must_use]
    pub fn alike(&self) -> Option<Self> {
        let did = self.as_str();
        did.strip_prefix('+').map_or_else(|| format!("+{did}").parse(), str::parse).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dids_are_kept_byte_for_byte() {
        for did in ["+12025550100", "TF-123", "abc_DEF", "#99", "*77", "a.b", "h", "-"] {
            assert_eq!(did.parse::<Did>().unwrap().as_str(), did);
        }
        assert_ne!("abc".parse::<Did>().unwrap(), "ABC".parse::<Did>().unwrap());
    }

    #[test]
    fn a_bad_did_says_why() {
        assert_eq!("".parse::<Did>(), Err(NumberError::Empty));
        assert_eq!("1 2".parse::<Did>(), Err(NumberError::Character(' ')));
        assert_eq!("1&2".parse::<DialNumber>(), Err(NumberError::Character('&')));
        assert_eq!("é".parse::<Did>(), Err(NumberError::Character('é')));
        assert_eq!("1".repeat(51).parse::<Did>(), Err(NumberError::TooLong(51)));
    }

    #[test]
    fn a_toll_free_number_is_one_of_the_plan() {
        for good in
            ["+18005550199", "+1 (800) 555-0199", "18005550199", "8005550199", "800-555-0199"]
        {
            assert_eq!(good.parse::<TollFree>().unwrap().as_str(), "8005550199", "{good}");
        }
        assert_eq!("8775550199".parse::<TollFree>().unwrap().dialled().as_str(), "18775550199");
        for bad in [
            "800555019",
            "2025550100",
            "+448005550199",
            "+118005550199",
            "118005550199",
            "+8005550199",
            "8000550199",
            "",
            "+",
            "800555019x",
        ] {
            assert!(bad.parse::<TollFree>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_caller_is_known_again_by_digits() {
        let plain = NumberPlan::default();
        let key = |number: &str, plan: &NumberPlan| {
            CallerKey::of(number, plan).map(|key| key.as_str().to_owned())
        };
        assert_eq!(key("+1 (202) 555-0100", &plain).as_deref(), Some("12025550100"));
        for nobody in ["", "anonymous", "unknown", "100", "#99", "Restricted12345"] {
            assert_eq!(key(nobody, &plain), None, "{nobody}");
        }
    }

    #[test]
    fn a_number_that_stands_for_nobody_is_nobodys() {
        let italian = NumberPlan { country: "39".parse().ok(), ..NumberPlan::default() };
        for nobody in [
            "0000000000",
            "+10000000000",
            "9999999999",
            "+390000000000",
            "266696687",
            "+266696687",
            "+1266696687",
            "7378742833",
            "+17378742833",
            "8656696",
            "86282452253",
            "2562533",
            "7748283",
            "Anonymous",
            "Restricted",
            "UNKNOWN",
        ] {
            assert_eq!(CallerKey::of(nobody, &italian), None, "{nobody}");
        }
        for somebody in ["266696688", "7378742834", "2666966870", "1000000001", "+390000000001"] {
            assert!(CallerKey::of(somebody, &italian).is_some(), "{somebody}");
        }
        for word in ["anonymous", "Anonymous", "RESTRICTED", "unavailable"] {
            assert!(is_word_for_nobody(word), "{word}");
        }
        for name in ["", "anonymous1", "ann", "7378742833"] {
            assert!(!is_word_for_nobody(name), "{name}");
        }
    }

    #[test]
    fn a_caller_cannot_smuggle_a_header() {
        let caller = Caller::clean("+1555\r\n", "A\r\nX-Evil: 1");
        assert_eq!(caller, Caller { number: "+1555".into(), name: "AX-Evil: 1".into() });
        assert_eq!(Caller::clean("", &"é".repeat(60)).name.len(), 80);
        let caller =
            Caller::clean("+1 (2)\r\n<;x=1>@%0a", "A\u{85}\u{2028}\u{202e}\u{fffd}$${SHELL(x)}é");
        assert_eq!(caller, Caller { number: "+1(2)x10a".into(), name: "A{SHELL(x)}é".into() });
        for (name, clean) in [
            ("A\x07$${X}", "A{X}"),
            ("A\r\nX-Evil: 1$${", "AX-Evil: 1{"),
            ("$\n{X}$$$\x07[1+1]", "{X}[1+1]"),
            ("$$ {$5} $", "$$ {$5} $"),
        ] {
            assert_eq!(Caller::clean("", name).name, clean, "{name:?}");
        }
    }
}
