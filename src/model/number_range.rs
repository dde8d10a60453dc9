//! Many DIDs at once: from one to another that differ in their last digits.

use super::number::Did;

/// Most numbers of one range.
pub const MOST: u64 = 100_000;

/// Most numbers of all ranges of one document: a few lines must not fill the memory.
pub const MOST_TOGETHER: usize = 1_000_000;

/// Every DID from `from` to `to`, both included: `+12025550100` to `+12025550199`.
///
/// # Errors
/// What is wrong with the two, and what to type.
pub fn expand(from: &Did, to: &Did) -> Result<Vec<Did>, (String, String)> {
    let (first, last) = (from.as_str(), to.as_str());
    let refused = |message: String, hint: &str| Err((message, hint.to_owned()));
    if first.len() != last.len() {
        let message = format!("{first} and {last} are not of the same length");
        return refused(message, "type two numbers that differ in their last digits only");
    }
    let same = first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count();
    let (beginning, from_digits, to_digits) = (&first[..same], &first[same..], &last[same..]);
    let Some((from_no, to_no)) = number(from_digits).zip(number(to_digits)) else {
        let message = format!("{first} and {last} differ in more than digits");
        return refused(message, "type two numbers that differ in their last digits only");
    };
    if from_no > to_no {
        let message = format!("{last} comes before {first}");
        return refused(message, "type the lower number under from:, the higher one under to:");
    }
    if to_no - from_no >= MOST {
        let message = format!("from {first} to {last} are more than {MOST} numbers");
        return refused(message, "type several smaller ranges");
    }
    let width = from_digits.len();
    let dids = (from_no..=to_no).map(|no| match width {
        0 => beginning.parse(),
        _ => format!("{beginning}{no:0width$}").parse(),
    });
    dids.collect::<Result<_, _>>()
        .map_err(|error: super::number::NumberError| (error.to_string(), String::new()))
}

/// Digits as a number; none at all are 0.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(from: &str, to: &str) -> Result<Vec<String>, String> {
        let dids = expand(&from.parse().unwrap(), &to.parse().unwrap());
        dids.map(|dids| dids.iter().map(ToString::to_string).collect())
            .map_err(|(message, hint)| format!("{message}; {hint}"))
    }

    #[test]
    fn a_range_holds_both_ends_and_keeps_the_zeros() {
        let some = ["+12025550098", "+12025550099", "+12025550100", "+12025550101"];
        assert_eq!(all("+12025550098", "+12025550101").unwrap(), some);
        assert_eq!(all("TF-08", "TF-11").unwrap(), ["TF-08", "TF-09", "TF-10", "TF-11"]);
        assert_eq!(all("100", "100").unwrap(), ["100"]);
        assert_eq!(all("000", "002").unwrap(), ["000", "001", "002"]);
        assert_eq!(all("2000000", "2099999").unwrap().len(), 100_000);
    }

    #[test]
    fn two_numbers_that_make_no_range_are_refused() {
        for (from, to, wanted) in [
            ("99", "100", "99 and 100 are not of the same length"),
            ("101", "100", "100 comes before 101"),
            ("A1", "B1", "A1 and B1 differ in more than digits"),
            ("1-1", "1.1", "1-1 and 1.1 differ in more than digits"),
            ("2000000", "2100000", "from 2000000 to 2100000 are more than 100000 numbers"),
            ("1", "+", "1 and + differ in more than digits"),
        ] {
            let told = all(from, to).unwrap_err();
            assert!(told.starts_with(wanted), "{told}");
            assert!(!told.ends_with("; "), "{told}");
        }
    }
}
