//! Numbers: a DID is a routing key and stays byte-exact; a dialled number goes into a SIP URI.
//!
//! The two are never derived from each other silently.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
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
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NumberError;

            fn try_from(text: String) -> Result<Self, NumberError> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(number: $name) -> Self {
                number.0
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

    /// Control characters are dropped and length is capped: a line feed in a caller's name would
    /// otherwise reach the SIP wire inside a header.
    #[must_use]
    pub fn clean(number: &str, name: &str) -> Self {
        let clean = |text: &str| {
            let mut kept: String = text.chars().filter(|c| !c.is_control()).collect();
            let mut end = kept.len().min(Self::MAX_BYTES);
            while !kept.is_char_boundary(end) {
                end -= 1;
            }
            kept.truncate(end);
            kept
        };
        Self { number: clean(number), name: clean(name) }
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
    fn a_caller_cannot_smuggle_a_header() {
        let caller = Caller::clean("+1555\r\n", "A\r\nX-Evil: 1");
        assert_eq!(caller, Caller { number: "+1555".into(), name: "AX-Evil: 1".into() });
        assert_eq!(Caller::clean("", &"é".repeat(60)).name.len(), 80);
    }
}
