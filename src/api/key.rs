//! API keys: `dvk_<26 characters of the key's id>_<52 characters of 32 random bytes>`.
//!
//! Only its SHA-256 is kept: the secret part has 256 bits of entropy, so a slow hash would add
//! nothing. The text is shown once, when the key is made.

use rand::RngExt as _;
use sha2::{Digest, Sha256};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::model::id::KeyId;
use crate::model::time::Timestamp;
use crate::store::ApiKey;

pub(super) const PREFIX: &str = "dvk_";
const SECRET_BYTES: usize = 32;
const SECRET_CHARS: usize = 52;
/// The ULID alphabet, as in every id.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What a key may do. Reading the configuration needs no scope, only a key.
#[derive(
    Clone, Copy, Debug, Display, EnumString, Eq, IntoStaticStr, PartialEq, ToSchema, VariantArray,
)]
pub enum Scope {
    /// Everything.
    #[schema(rename = "admin")]
    #[strum(serialize = "admin")]
    Admin,
    #[schema(rename = "calls:read")]
    #[strum(serialize = "calls:read")]
    CallsRead,
    /// Place test calls, and end them.
    #[schema(rename = "calls:test")]
    #[strum(serialize = "calls:test")]
    CallsTest,
    /// Pause, drain, disable and resume destinations, pause and resume whole flows, and nothing else.
    #[schema(rename = "destinations:pause")]
    #[strum(serialize = "destinations:pause")]
    DestinationsPause,
    /// Change numbers and objects of every kind, but for rate decks, and take changes back.
    #[schema(rename = "flows:write")]
    #[strum(serialize = "flows:write")]
    FlowsWrite,
}

/// Makes a key: the text for its owner, which exists nowhere else, and what is kept of it. A scope
/// that is named twice is kept once.
#[must_use]
pub fn new_key(
    id: KeyId,
    name: &str,
    scopes: &[Scope],
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
) -> (String, ApiKey) {
    let mut random = [0; SECRET_BYTES];
    rand::rng().fill(&mut random);
    let mut words: Vec<String> = Vec::new();
    for scope in scopes.iter().map(Scope::to_string) {
        if !words.contains(&scope) {
            words.push(scope);
        }
    }
    let plain = format!("{PREFIX}{}_{}", id.digits(), base32(&random));
    let key = ApiKey {
        id,
        name: name.to_owned(),
        sha256: Sha256::digest(&plain).into(),
        scopes: words,
        created_at,
        expires_at,
        revoked_at: None,
    };
    (plain, key)
}

/// A key as a client presents it. Not yet compared with anything.
pub(super) struct PresentedKey {
    pub id: KeyId,
    sha256: [u8; 32],
}

impl PresentedKey {
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        if secret.len() != SECRET_CHARS {
            return None;
        }
        Some(Self { id: KeyId::from_digits(id)?, sha256: Sha256::digest(text).into() })
    }

    /// Whether it is `kept`, in a time that tells nothing about how much of it is right.
    pub fn is(&self, kept: &ApiKey) -> bool {
        self.sha256.ct_eq(&kept.sha256).into()
    }
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0);
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(digit(held << (5 - bits)));
    }
    text
}

fn digit(value: u32) -> char {
    char::from(ALPHABET[(value & 0x1f) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (String, ApiKey) {
        new_key(KeyId::new(7), "test", &[Scope::CallsRead], Timestamp(1), None)
    }

    #[test]
    fn base32_is_the_alphabet_of_the_ids() {
        assert_eq!(base32(&[]), "");
        assert_eq!(base32(&[0xff]), "zw");
        assert_eq!(base32(&[0, 0x44, 0x32, 0x14, 0xc7]), "01234567");
        assert_eq!(base32(&[0; SECRET_BYTES]).len(), SECRET_CHARS);
    }

    #[test]
    fn a_key_is_recognised_and_an_altered_one_is_not() {
        let (plain, kept) = key();
        assert_eq!(plain.len(), 4 + 26 + 1 + SECRET_CHARS);
        let presented = PresentedKey::parse(&plain).unwrap();
        assert_eq!(presented.id, kept.id);
        assert!(presented.is(&kept));

        let (other, _) = key();
        assert_ne!(plain, other, "32 random bytes");
        assert!(!PresentedKey::parse(&other).unwrap().is(&kept));
        let mut last = plain.clone();
        let swapped = if plain.ends_with('0') { 'g' } else { '0' };
        last.pop();
        last.push(swapped);
        assert!(!PresentedKey::parse(&last).unwrap().is(&kept), "also the last character counts");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (plain, _) = key();
        for bad in ["", "dvk_", "dvk_x_y", &plain[..plain.len() - 1], &plain[1..]] {
            assert!(PresentedKey::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_scope_that_is_named_twice_is_kept_once() {
        let scopes = [Scope::Admin, Scope::CallsRead, Scope::Admin, Scope::Admin];
        let (_, kept) = new_key(KeyId::new(7), "test", &scopes, Timestamp(1), None);
        assert_eq!(kept.scopes, ["admin", "calls:read"]);
    }

    #[test]
    fn the_secret_is_not_in_what_is_kept() {
        let (plain, kept) = key();
        let secret = plain.rsplit('_').next().unwrap();
        assert!(!format!("{kept:?}").contains(secret));
    }

    #[test]
    fn scopes_read_back_as_they_are_written() {
        for scope in Scope::VARIANTS {
            assert_eq!(scope.to_string().parse(), Ok(*scope));
        }
    }
}
