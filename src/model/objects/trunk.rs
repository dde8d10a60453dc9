//! Trunks: how a call leaves the master, as a PJSIP endpoint of its Asterisk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Rules;
use crate::model::check::Check;
use crate::model::id::{RateDeckId, TrunkId};
use crate::model::number::DialNumber;
use crate::model::object::{Field, Fields, Flat, Limit, Names, Record, Ref, Shape, object, texts};

object! {
    /// How a call leaves the master: exactly one of `address` and `endpoint`.
    pub struct Trunk(TrunkId) {
        reach: Flat<Reach>,
        /// Most live calls over it; absent is no limit.
        max_live: Option<Limit<100_000>>,
        /// divert may send calls to toll-free numbers over it.
        carries_toll_free: bool = false,
        /// The name of the rate deck for calls over it; absent takes the account's, and nothing for
        /// calls to a slave.
        rate_deck: Option<Ref<RateDeckId>>,
    }
}

impl Rules for Trunk {
    fn example() -> Value {
        json!({
            "name": "to-slave-a", "address": "10.0.0.2:5060", "max_live": 100,
            "carries_toll_free": true, "rate_deck": "retail",
        })
    }

    fn either() -> &'static [&'static [&'static str]] {
        &[&["address"], &["endpoint"]]
    }

    fn check(&self, check: &mut Check<'_>) {
        if let Some(deck) = self.rate_deck {
            let here = check.places.key(self.id, "rate_deck");
            check.exists(deck, &format!("trunk {}", self.name), [here, None]);
        }
    }
}

/// Where the PJSIP endpoint of a trunk comes from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// A peer authenticated by its IP address: divert pushes the endpoint to Asterisk itself.
    Address(SipAddress),
    /// An endpoint that stands in the operator's own `pjsip.conf`.
    Endpoint(EndpointName),
}

impl Record for Reach {
    fn fields() -> Vec<Field> {
        vec![
            Field::optional(
                "address",
                "Host or `host:port` of a peer known by its IP address; divert makes the endpoint \
                 itself.",
                <SipAddress as Shape>::schema,
            ),
            Field::optional(
                "endpoint",
                "The name of an endpoint in your own `pjsip.conf`.",
                <EndpointName as Shape>::schema,
            ),
        ]
    }

    fn read_from(fields: &mut Fields<'_, '_, '_>) -> Option<Self> {
        let address = fields.read::<SipAddress>("address");
        let endpoint = fields.read::<EndpointName>("endpoint");
        match (fields.has("address"), fields.has("endpoint")) {
            (true, true) => fields.wrong(
                "endpoint",
                "not_allowed",
                "address and endpoint exclude each other",
                "keep address if divert shall make the endpoint, endpoint if pjsip.conf has it",
            ),
            (false, false) => fields.missing(
                "address",
                "type the peer's address, or endpoint: and a section of your pjsip.conf",
            ),
            _ => {}
        }
        let endpoint = endpoint.map(Self::Endpoint);
        endpoint.or_else(|| address.map(Self::Address))
    }

    fn write_to(&self, object: &mut Map<String, Value>, names: &dyn Names) {
        let (key, value) = match self {
            Self::Address(address) => ("address", <SipAddress as Shape>::write(address, names)),
            Self::Endpoint(name) => ("endpoint", <EndpointName as Shape>::write(name, names)),
        };
        object.insert(key.to_owned(), value);
    }
}

texts! {
    SipAddress "an address" "^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$";
    EndpointName "the name of an endpoint" "^[A-Za-z0-9_.-]{1,60}$";
}

impl Trunk {
    /// One with nothing set but what it must have.
    #[must_use]
    pub fn new(id: TrunkId, name: impl Into<String>, reach: Reach) -> Self {
        let name = name.into();
        Self { id, name, reach, max_live: None, carries_toll_free: false, rate_deck: None }
    }

    /// The name of the endpoint in Asterisk.
    #[must_use]
    pub fn endpoint(&self) -> String {
        match &self.reach {
            Reach::Address(_) => format!("divert-{}", self.id.digits()),
            Reach::Endpoint(name) => name.0.clone(),
        }
    }

    /// The technology string that dials `number` over this trunk.
    #[must_use]
    pub fn dial_string(&self, number: &DialNumber) -> String {
        format!("PJSIP/{}@{}", number.sip_user(), self.endpoint())
    }
}

/// A label of a host name (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=63).contains(&label.len())
        && label.chars().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// No name of the DNS does (RFC 3696 §2). What resolves names would take it for an IPv4 address, in
/// which it reads `010` as 8 and `0x7f000001` as 127.0.0.1.
fn ends_in_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|c| c.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()))
}

/// Of an IPv4 address as it is plainly written: four numbers to 255 without zeros before them.
fn octets(host: &str) -> Option<[u8; 4]> {
    let octet = |text: &str| {
        let is_plain = text == "0" || !text.starts_with(['0', '+']);
        text.parse().ok().filter(|_| is_plain)
    };
    let octets: Option<Vec<u8>> = host.split('.').map(octet).collect();
    octets?.try_into().ok()
}

/// Host and port of a SIP peer, `host` or `host:port`; UDP, port 5060 unless given.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SipAddress {
    host: String,
    port: u16,
}

impl SipAddress {
    pub const DEFAULT_PORT: u16 = 5060;

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The four numbers of an IPv4 address; `None` for a name.
    #[must_use]
    pub fn octets(&self) -> Option<[u8; 4]> {
        octets(&self.host)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for SipAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for SipAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.rsplit_once(':') {
            None => (text, Self::DEFAULT_PORT),
            Some((host, port)) => {
                let port = port.parse().map_err(|_| "the port must be a number from 1 to 65535")?;
                (host, port)
            }
        };
        if host.len() > 253 || !host.split('.').all(is_label) {
            return Err("type a host name or an IPv4 address, with a port if it is not 5060");
        }
        if ends_in_a_number(host) && octets(host).is_none() {
            return Err(
                "it ends in a number, so that it is an IPv4 address: type four numbers from 0 \
                        to 255 without zeros before them, as 10.0.0.1",
            );
        }
        if port == 0 {
            return Err("the port must be a number from 1 to 65535");
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for SipAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SipAddress> for String {
    fn from(address: SipAddress) -> Self {
        address.to_string()
    }
}

/// The name of a section in `pjsip.conf`: letters, digits, `_`, `-` and `.`, at most 60.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointName(String);

impl EndpointName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EndpointName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if text.is_empty() || text.len() > 60 || !text.chars().all(allowed) {
            return Err("type the endpoint's name in pjsip.conf: letters, digits, _ - and .");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EndpointName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EndpointName> for String {
    fn from(name: EndpointName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!("10.0.0.1".parse::<SipAddress>().unwrap().to_string(), "10.0.0.1:5060");
        assert_eq!("pbx.example:5080".parse::<SipAddress>().unwrap().port(), 5080);
        for bad in ["", ":5060", "a b", "a:b", "host:0", "host:70000", "host;x=1", "u@host"] {
            assert!(bad.parse::<SipAddress>().is_err(), "{bad}");
        }
        for bad in ["a..b", ".a", "a.", "-a.b", "a-.b", &"a".repeat(64)] {
            assert!(bad.parse::<SipAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_ends_in_a_number_is_a_plain_ipv4_address() {
        for good in ["127.0.0.1", "0.0.0.0:5080", "255.255.255.255", "10.0.0.1.example", "a1.b2"] {
            assert!(good.parse::<SipAddress>().is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.010:27261",
            "010.0.0.1",
            "10.0.0.256",
            "10.0.0",
            "10.0.0.1.2",
            "10.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.0x1",
            "pbx.10",
            "00.0.0.0",
        ] {
            let error = bad.parse::<SipAddress>().unwrap_err();
            assert!(error.contains("IPv4"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_dial_string_cannot_fork_or_carry_options() {
        let trunk = Trunk {
            id: TrunkId::new(1),
            name: "carrier".into(),
            reach: Reach::Endpoint("carrier".parse().unwrap()),
            max_live: None,
            carries_toll_free: false,
            rate_deck: None,
        };
        let dialled = trunk.dial_string(&"#99*1".parse().unwrap());
        assert_eq!(dialled, "PJSIP/%2399*1@carrier");
        assert!("a&b".parse::<EndpointName>().is_err());
        assert!("a/b".parse::<EndpointName>().is_err());
    }
}
