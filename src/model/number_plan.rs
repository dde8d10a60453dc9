//! How numbers are written in a country, to know one number by several spellings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::number::digits_of;
use super::object::{Names, Reader, Shape, record, texts};

record! {
    /// How numbers are written where a flow's callers come from: enough to know one caller by two
    /// spellings. By default nothing is known and only the digits count.
    #[derive(Default, Deserialize, Serialize)]
    pub struct NumberPlan {
        /// Country code without `+`. It is enough for North America and where numbers have no
        /// national prefix at home, as in Italy or Spain.
        country: Option<CountryCode>,
        /// What stands before a number of the same country, and falls away abroad: `0`.
        national_prefix: Option<Digits>,
        /// What stands before a country code: `00`.
        international_prefix: Option<Digits>,
    }
}

impl NumberPlan {
    /// Only digits, with the country code before them where the plan can tell that one belongs there.
    ///
    /// Where numbers have no national prefix at home, one without a country code is known by being no
    /// longer than numbers are there.
    #[must_use]
    pub fn international(&self, number: &str) -> String {
        let digits = digits_of(number);
        let prefix = |prefix: &Option<Digits>| {
            prefix.as_ref().and_then(|prefix| digits.strip_prefix(prefix.as_str()))
        };
        if number.starts_with('+') {
            return digits;
        }
        if let Some(rest) = prefix(&self.international_prefix) {
            return rest.to_owned();
        }
        let Some(country) = self.country.as_ref().map(Digits::as_str) else {
            return digits;
        };
        if let Some(rest) = prefix(&self.national_prefix) {
            return format!("{country}{rest}");
        }
        let is_of_country = match longest_without_prefix(country) {
            // North America has no national prefix but its country code, and short numbers for calls
            // within a place.
            _ if country == "1" => digits.len() == 10,
            Some(longest) => digits.len() <= longest,
            None => false,
        };
        if is_of_country { format!("{country}{digits}") } else { digits }
    }

    /// The part of an international number that is dialled at home; all of it where that is not known.
    #[must_use]
    pub fn at_home<'a>(&self, international: &'a str) -> &'a str {
        let country = self.country.as_ref().and_then(|country| {
            international.strip_prefix(country.as_str()).filter(|rest| !rest.is_empty())
        });
        country.unwrap_or(international)
    }

    /// Whether numbers of the country are dialled at home as they are, after no prefix, so that a 0 at
    /// the beginning is part of them. `None` without a country.
    #[must_use]
    pub fn is_without_prefix(&self) -> Option<bool> {
        let country = self.country.as_ref()?.as_str();
        Some(country == "1" || longest_without_prefix(country).is_some())
    }
}

/// Countries in which nothing is dialled before a number of another place, by how many digits their
/// numbers have at most without the country code (ITU-T Operational Bulletin 994, "Dialling
/// procedures", brought up to date by the metadata of libphonenumber 9).
const WITHOUT_PREFIX: [(usize, &[&str]); 7] = [
    (5, &["247", "290", "500", "682"]),
    (6, &["299", "681", "687"]),
    (
        7,
        &[
            "238", "239", "246", "248", "269", "297", "501", "592", "597", "673", "674", "676",
            "677", "678", "679", "680", "683", "688", "690", "691", "960",
        ],
    ),
    (
        8,
        &[
            "45", "47", "65", "216", "222", "223", "226", "227", "228", "230", "235", "236", "253",
            "257", "266", "267", "268", "350", "356", "357", "371", "372", "502", "503", "504",
            "505", "507", "509", "599", "670", "675", "689", "852", "853", "965", "968", "973",
            "974", "975",
        ],
    ),
    (
        9,
        &[
            "34", "48", "56", "220", "221", "224", "237", "240", "242", "244", "245", "258", "351",
            "354", "376", "420", "992", "998",
        ],
    ),
    (10, &["30", "52", "225", "229", "685"]),
    (11, &["39"]),
];

fn longest_without_prefix(country: &str) -> Option<usize> {
    let known = WITHOUT_PREFIX.iter().find(|(_, countries)| countries.contains(&country));
    known.map(|(longest, _)| *longest)
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

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

texts! {
    Digits "a prefix of digits" "^[0-9]{1,6}$";
}

/// Digits that are a country's.
pub struct CountryCode;

impl Shape for CountryCode {
    type Value = Digits;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Digits> {
        reader.parsed(value, pointer, "a country code without +")
    }

    fn write(value: &Digits, names: &dyn Names) -> Value {
        Digits::write(value, names)
    }

    fn schema() -> Value {
        Digits::schema()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(country: &str, national: &str, international: &str) -> NumberPlan {
        NumberPlan {
            country: country.parse().ok(),
            national_prefix: national.parse().ok(),
            international_prefix: international.parse().ok(),
        }
    }

    #[test]
    fn a_number_is_one_in_every_spelling() {
        for (plan, wanted, spellings) in [
            (
                plan("44", "0", "00"),
                "442079460000",
                &["+442079460000", "02079460000", "00442079460000", "442079460000"][..],
            ),
            (
                plan("1", "", ""),
                "12025550100",
                &["+12025550100", "12025550100", "2025550100", "+1 (202) 555-0100"],
            ),
            (
                plan("39", "", "00"),
                "390612345678",
                &["0612345678", "+390612345678", "00390612345678", "390612345678"],
            ),
            (plan("39", "", ""), "393901234567", &["3901234567", "+393901234567", "393901234567"]),
            (plan("34", "", ""), "34912345678", &["912345678", "+34912345678", "34912345678"]),
            (plan("48", "", ""), "48221234567", &["221234567", "+48221234567"]),
            (plan("420", "", ""), "420212345678", &["212345678", "+420212345678"]),
            (plan("45", "", ""), "4532123456", &["32123456", "+4532123456", "4532123456"]),
            (plan("47", "", "00"), "4521234567", &["+4521234567", "004521234567"]),
            (plan("", "", ""), "0612345678", &["0612345678", "06-1234-5678"]),
        ] {
            for spelling in spellings {
                assert_eq!(plan.international(spelling), wanted, "{spelling} by {plan:?}");
            }
        }
        let british = plan("44", "", "");
        assert_eq!(british.international("2079460000"), "2079460000", "nobody can tell");
        assert_eq!(plan("1", "", "").international("5550100"), "5550100", "nor of which place");
    }

    #[test]
    fn a_country_is_with_or_without_a_national_prefix() {
        for (country, wanted) in
            [("39", Some(true)), ("1", Some(true)), ("44", Some(false)), ("", None)]
        {
            assert_eq!(plan(country, "", "").is_without_prefix(), wanted, "{country}");
        }
    }
}
