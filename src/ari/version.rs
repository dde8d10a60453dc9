//! Versions of Asterisk, and what divert misses on older ones.

use std::fmt;
use std::str::FromStr;

/// The version of an Asterisk: `22.10.1`, `certified-20.7-cert2`, `16.28.0~dfsg-0+deb11u4`. The first
/// three numbers count. One that is not said is the highest there is: `22` stands for the newest 22.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version([u32; 3]);

impl Version {
    /// From here on ARI's `DELETE /channels/{id}` takes `reason_code`, any cause of Q.850.
    pub const REASON_CODES: Self = Self([18, 0, 0]);
    /// Older ones have open advisories.
    pub const SAFE: Self = Self([22, 10, 1]);
}

/// What divert can not do on an Asterisk older than this, from the oldest to the newest.
const MISSED: &[(Version, &str)] = &[
    (
        Version::REASON_CODES,
        "refusals reach the carrier as one of 13 reasons instead of their own cause, and phones may \
         be shown their own number when they are connected",
    ),
    (
        Version([22, 7, 0]),
        "SIP codes of destinations are not told: the log has causes only, and what shares a cause \
         counts as the same (a trunk's 403 as a phone's 603)",
    ),
];

impl Version {
    /// What divert can not do on this one.
    pub fn missed(self) -> impl Iterator<Item = &'static str> {
        MISSED.iter().filter(move |(since, _)| self < *since).map(|(_, what)| *what)
    }
}

/// The text holds no number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a version of Asterisk looks like 16, 22 or 22.10.1")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut numbers = [u32::MAX; 3];
        let digits = text.split(|c: char| !c.is_ascii_digit());
        let found = digits.filter_map(|part| part.parse().ok());
        let mut count = 0;
        for (number, value) in numbers.iter_mut().zip(found) {
            *number = value;
            count += 1;
        }
        if count == 0 { Err(NoVersion) } else { Ok(Self(numbers)) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.0.iter().take_while(|number| **number != u32::MAX);
        let said: Vec<String> = said.map(u32::to_string).collect();
        f.write_str(&said.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (text, is_safe) in [
            ("22.10.1", true),
            ("22.10.0", false),
            ("22.9.0", false),
            ("20.19.0", false),
            ("22.10.1~dfsg+~cs6.15", true),
            ("23.0.0-rc1", true),
            ("certified-20.7-cert2", false),
            ("16.28.0~dfsg-0+deb11u4", false),
            ("22", true),
        ] {
            assert_eq!(version(text) >= Version::SAFE, is_safe, "{text}");
        }
        assert_eq!("GIT".parse::<Version>(), Err(NoVersion));
        assert_eq!(version("22.8").to_string(), "22.8");
    }

    #[test]
    fn what_is_missed_depends_on_the_version() {
        let missed = |text| version(text).missed().count();
        assert_eq!(
            [missed("16.28.0"), missed("18.0.0"), missed("22.6.9"), missed("22.7.0")],
            [2, 1, 1, 0]
        );
        assert!(MISSED.is_sorted_by_key(|(since, _)| *since));
    }
}
