//! Typed, prefixed, sortable ids: `call_01j3nnnyejx8kz0q4tt3b7m9ra`.
//!
//! The text is a prefix and 26 characters of Crockford base32 in lower case (the ULID alphabet); the
//! value is 128 bits whose high 48 are a millisecond timestamp, so ids sort by age. Minting needs a
//! clock and a random source and therefore lives in `clock`, not here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;

/// Why a text is not the id that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The prefix names another kind of thing.
    OtherKind { found: &'static str, wanted: &'static str },
    /// Not `prefix_` and 26 characters of base32.
    Shape { prefix: &'static str },
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind { found, wanted } => {
                write!(f, "that is the id of a {found}; a {wanted} id is wanted here")
            }
            Self::Shape { prefix } => {
                write!(f, "an id looks like {prefix}_ and 26 letters and digits")
            }
        }
    }
}

impl std::error::Error for IdError {}

fn encode(value: u128) -> String {
    let digit = |at: usize| {
        let five_bits = (value >> (5 * (DIGITS - 1 - at))) & 0x1f;
        char::from(ALPHABET[usize::try_from(five_bits).unwrap_or_default()])
    };
    (0..DIGITS).map(digit).collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != DIGITS {
        return None;
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|&known| known == byte)?;
        // 26 digits hold 130 bits: a first digit above 7 would overflow.
        value = value.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)?;
    }
    Some(value)
}

fn parse(text: &str, prefix: &'static str, wanted: &'static str) -> Result<u128, IdError> {
    let shape = IdError::Shape { prefix };
    let Some((found, digits)) = text.split_once('_') else {
        return Err(shape);
    };
    if found != prefix {
        let other = KINDS.iter().find(|(known, _)| *known == found);
        return Err(other.map_or(shape, |(_, found)| IdError::OtherKind { found, wanted }));
    }
    decode(digits).ok_or(shape)
}

/// What every kind of id is.
pub trait Id:
    Copy + fmt::Debug + fmt::Display + FromStr<Err = IdError> + Into<ObjectId> + Ord
{
    const PREFIX: &'static str;
    /// What it is the id of.
    const WORD: &'static str;

    fn new(value: u128) -> Self;
    fn value(self) -> u128;

    /// What it looks like, as a regular expression.
    #[must_use]
    fn pattern() -> String {
        format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", Self::PREFIX)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $word:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            #[must_use]
            pub const fn new(value: u128) -> Self {
                Self(value)
            }

            /// The 26 characters without the prefix.
            #[must_use]
            pub fn digits(self) -> String {
                encode(self.0)
            }

            /// The first and the last of all ids that begin with `typed`, which may lack the prefix;
            /// `None` where no id does.
            #[must_use]
            pub fn beginning(typed: &str) -> Option<(Self, Self)> {
                let digits = typed.strip_prefix(concat!($prefix, "_")).unwrap_or(typed);
                let room = DIGITS.checked_sub(digits.len()).filter(|_| !digits.is_empty())?;
                let filled = |with: &str| decode(&(digits.to_owned() + &with.repeat(room))).map(Self);
                Some((filled("0")?, filled("z")?))
            }

            /// The id written as its 26 characters alone, as in a channel id.
            #[must_use]
            pub fn from_digits(digits: &str) -> Option<Self> {
                decode(digits).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text, $prefix, $word).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl From<$name> for ObjectId {
            fn from(id: $name) -> Self {
                Self { prefix: $prefix, value: id.0 }
            }
        }

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            const WORD: &'static str = $word;

            fn new(value: u128) -> Self {
                Self(value)
            }

            fn value(self) -> u128 {
                self.0
            }
        }
    )*

        /// Every prefix the product uses, with the word for it, so that a wrong id gets a helpful
        /// answer.
        const KINDS: &[(&str, &str)] = &[$(($prefix, $word),)*];
    };
}

/// The ids of the kinds of objects, and those of everything else.
macro_rules! all_ids {
    ($($section:ident $word:literal $prefix:literal $id:ident $module:ident $object:ident;)*) => {
        ids! {
            $($id $prefix $word;)*
            /// Whose everything is: each row and each query carries one.
            AccountId "acc" "account";
            /// One inbound call with all its legs.
            CallId "call" "call";
            /// Money put into an account.
            CreditId "crd" "credit";
            DestinationId "dst" "destination";
            /// A database, among those whose nodes work on one Asterisk.
            InstallationId "ins" "installation";
            KeyId "key" "API key";
            NumberId "num" "number";
        }

        /// Whether objects have ids that begin so.
        #[must_use]
        pub fn is_prefix_of_object(prefix: &str) -> bool {
            [$($prefix,)* DestinationId::PREFIX, NumberId::PREFIX].contains(&prefix)
        }
    };
}

for_each_kind!(all_ids);

/// The id of anything, whatever its kind.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectId {
    prefix: &'static str,
    value: u128,
}

impl ObjectId {
    #[must_use]
    pub fn prefix(self) -> &'static str {
        self.prefix
    }

    #[must_use]
    pub fn value(self) -> u128 {
        self.value
    }

    /// As an id of this kind, if it is one.
    #[must_use]
    pub fn to<I: Id>(self) -> Option<I> {
        (self.prefix == I::PREFIX).then(|| I::new(self.value))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.prefix, encode(self.value))
    }
}

impl FromStr for ObjectId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let known = KINDS.iter().find(|(prefix, _)| {
            text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'))
        });
        let (prefix, word) = known.copied().unwrap_or(("flw", "object"));
        parse(text, prefix, word).map(|value| Self { prefix, value })
    }
}

/// One leg of one call: 0 is the caller, 1 and up are legs that divert dialled.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct LegId {
    pub call: CallId,
    pub no: u16,
}

impl LegId {
    pub const CALLER: u16 = 0;

    /// The channel id divert gives the leg, minted before the command so that the first event is
    /// already ours and every retry is safe (ARI answers 409 to a second create).
    #[must_use]
    pub fn channel(self) -> ChannelId {
        ChannelId(format!("d-{}-{}", self.call.digits(), self.no))
    }

    /// Reads [`LegId::channel`] back; `None` for a channel divert did not create.
    #[must_use]
    pub fn of_channel(channel: &ChannelId) -> Option<Self> {
        let (call, no) = channel.0.strip_prefix("d-")?.split_once('-')?;
        Some(Self { call: CallId::from_digits(call)?, no: no.parse().ok()? })
    }
}

impl fmt::Display for LegId {
    /// `call_01j3nnnyejx8kz0q4tt3b7m9ra-1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.call, self.no)
    }
}

impl FromStr for LegId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let shape = || IdError::Shape { prefix: CallId::PREFIX };
        let (call, no) = text.split_once('-').ok_or_else(shape)?;
        let is_plain = no == "0" || !no.starts_with(['0', '+']);
        let no = no.parse().ok().filter(|_| is_plain).ok_or_else(shape)?;
        Ok(Self { call: call.parse()?, no })
    }
}

/// Asterisk's id of a channel.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ChannelId(pub String);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Asterisk's id of a bridge.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct BridgeId(pub String);

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_stands_for_all_that_begin_so() {
        let id: CallId = "call_01j3nnnyejx8kz0q4tt3b7m9ra".parse().unwrap();
        for typed in ["0", "01j3nnnyej", "call_01j3", "01j3nnnyejx8kz0q4tt3b7m9ra"] {
            let (first, last) = CallId::beginning(typed).unwrap();
            assert!((first..=last).contains(&id), "{typed}");
        }
        let (_, last) = CallId::beginning("01j2").unwrap();
        assert!(last < id);
        for typed in ["", "call_", "trk_01j3", "01jU", "8", "01j3nnnyejx8kz0q4tt3b7m9ra0"] {
            assert_eq!(CallId::beginning(typed), None, "{typed}");
        }
    }

    #[test]
    fn an_id_reads_back_as_itself_and_sorts_by_value() {
        for value in [0, 1, 31, 32, u128::MAX, 0x0193_5000_0000_7000_8000_0000_0000_0001] {
            let id = CallId::new(value);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!(CallId::new(31).to_string() < CallId::new(32).to_string());
    }

    #[test]
    fn a_wrong_id_says_what_it_is() {
        let server = ServerId::new(7).to_string();
        let error = server.parse::<CallId>().unwrap_err();
        assert_eq!(error.to_string(), "that is the id of a server; a call id is wanted here");
        assert!("call_".parse::<CallId>().is_err());
        assert!("call_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<CallId>().is_err(), "130 bits");
        assert!("call_0000000000000000000000000I".parse::<CallId>().is_err());
    }

    #[test]
    fn a_leg_is_found_again_from_its_channel() {
        let leg = LegId { call: CallId::new(99), no: 3 };
        assert_eq!(LegId::of_channel(&leg.channel()), Some(leg));
        assert_eq!(LegId::of_channel(&ChannelId("1795223621.63".into())), None);
        assert_eq!(leg.to_string().parse(), Ok(leg));
        let call = leg.call;
        for bad in [format!("{call}"), format!("{call}-"), format!("{call}-+1"), "x-1".into()] {
            assert!(bad.parse::<LegId>().is_err(), "{bad}");
        }
    }
}
