//! Numbers: a DID is a routing key and stays byte-exact; a dialled number goes into a SIP URI.
//!
//! The two are never derived from each other silently.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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

/// How numbers are written where a flow's callers come from: enough to know one caller by two
/// spellings. By default nothing is known and only the digits count.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct NumberPlan {
    /// Country code without `+`: `44`.
    pub country: Option<Digits>,
    /// What stands before a number of the same country, and falls away abroad: `0`.
    pub national_prefix: Option<Digits>,
    /// What stands before a country code: `00`.
    pub international_prefix: Option<Digits>,
}

/// One to six digits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digits(String);

impl Digits {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digits {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=6).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err("type 1 to 6 digits in quotes") }
    }
}

impl TryFrom<String> for Digits {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digits> for String {
    fn from(digits: Digits) -> Self {
        digits.0
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

    /// `None` for a caller who cannot be known again: withheld, too short, or without digits.
    #[must_use]
    pub fn of(number: &str, plan: &NumberPlan) -> Option<Self> {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        if digits.len() < Self::LEAST_DIGITS || number.chars().any(char::is_alphabetic) {
            return None;
        }
        let prefix = |prefix: &Option<Digits>| {
            prefix.as_ref().and_then(|prefix| digits.strip_prefix(prefix.as_str()))
        };
        let key = if number.starts_with('+') {
            digits
        } else if let Some(rest) = prefix(&plan.international_prefix) {
            rest.to_owned()
        } else if let (Some(country), Some(rest)) = (&plan.country, prefix(&plan.national_prefix)) {
            format!("{}{rest}", country.as_str())
        } else if plan.country.as_ref().is_some_and(|c| c.as_str() == "1") && digits.len() == 10 {
            // North America has no national prefix but its country code.
            format!("1{digits}")
        } else {
            digits
        };
        Some(Self(key.into()))
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
        let digit = |text: &str| text.parse().ok();
        let plain = NumberPlan::default();
        let key = |number: &str, plan: &NumberPlan| {
            CallerKey::of(number, plan).map(|key| key.as_str().to_owned())
        };
        assert_eq!(key("+1 (202) 555-0100", &plain).as_deref(), Some("12025550100"));
        for nobody in ["", "anonymous", "unknown", "100", "#99", "Restricted12345"] {
            assert_eq!(key(nobody, &plain), None, "{nobody}");
        }
        let british = NumberPlan {
            country: digit("44"),
            national_prefix: digit("0"),
            international_prefix: digit("00"),
        };
        for same in ["+442079460000", "02079460000", "00442079460000"] {
            assert_eq!(key(same, &british).as_deref(), Some("442079460000"), "{same}");
        }
        let american = NumberPlan { country: digit("1"), ..NumberPlan::default() };
        for same in ["+12025550100", "12025550100", "2025550100"] {
            assert_eq!(key(same, &american).as_deref(), Some("12025550100"), "{same}");
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
