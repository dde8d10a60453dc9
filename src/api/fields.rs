//! Reading the fields of a small document or of a query string, all faults at once.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error::ApiError;
use crate::model::filter::{Fault, Filters, Query, moment};
use crate::model::problem::Problem;
use crate::model::text::unseen_fault;
use crate::model::time::Timestamp;

/// Fields not taken yet, and what was wrong with those that were.
#[derive(Debug)]
pub(super) struct Fields {
    rest: Map<String, Value>,
    /// The names of the filters that were read.
    filters: Vec<&'static str>,
    origin: Origin,
    problems: Vec<Problem>,
}

/// A blank with a digit behind it was typed as `+`.
fn is_unescaped_plus(value: &str) -> bool {
    let rest = value.strip_prefix(' ');
    rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    Body,
    Query,
}

impl Query for Fields {
    fn take_text(&mut self, name: &'static str) -> Option<String> {
        self.text(name)
    }

    fn note(&mut self, name: &'static str, Fault { code, message, hint }: Fault) {
        self.problem(name, code, &message, &hint);
    }
}

impl Fields {
    fn empty(origin: Origin) -> Self {
        Self { rest: Map::new(), filters: Vec::new(), origin, problems: Vec::new() }
    }

    /// Reads all filters of a list and nothing else.
    pub fn filters_of<F: Filters>(query: Option<&str>) -> Result<F, ApiError> {
        let mut query = Self::of_query(query);
        let filters = query.filters();
        query.finish(&[])?;
        Ok(filters)
    }

    /// Takes filters, which are known from then on.
    pub fn filters<F: Filters>(&mut self) -> F {
        self.filters.extend(F::filters().iter().map(|filter| filter.name));
        F::read(self)
    }

    /// The fields of an object; anything else is a fault of its own.
    pub fn of_body(body: Value) -> Self {
        let mut fields = Self::empty(Origin::Body);
        match body {
            Value::Object(map) => fields.rest = map,
            _ => fields.problem_at(
                String::new(),
                "wrong_type",
                "the body is not an object",
                "send {}, with fields in it",
            ),
        }
        fields
    }

    /// The parameters of a query string; one that comes twice is a fault.
    pub fn of_query(query: Option<&str>) -> Self {
        let mut fields = Self::empty(Origin::Query);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if is_unescaped_plus(&value) {
                let hint = "write + as %2B: as it is, it stands for a blank";
                fields.problem(&name, "invalid", "a number does not begin with a blank", hint);
                continue;
            }
            let value = Value::String(value.into_owned());
            if fields.rest.insert(name.to_string(), value).is_some() {
                fields.problem(&name, "repeated", "it is given more than once", "give it once");
            }
        }
        fields
    }

    /// Takes a field as it is; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text of which people see every character.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let Value::String(text) = self.take(name)? else {
            self.problem(name, "wrong_type", "it is not a text", "put it in quotes");
            return None;
        };
        if let Some((message, hint)) = unseen_fault(&text) {
            self.problem(name, "invalid", &message, hint);
            return None;
        }
        Some(text)
    }

    /// Takes a text that must be `what`; the parser's error says what to type.
    pub fn parsed<T>(&mut self, name: &str, what: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("{text:?} is not {what}");
                self.problem(name, "invalid", &message, &error.to_string());
                None
            }
        }
    }

    /// The same for a field that must be there.
    pub fn demanded<T>(&mut self, name: &str, what: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        if self.rest.get(name).is_none_or(Value::is_null) {
            self.rest.remove(name);
            self.problem(name, "missing", "it is missing", &format!("type {what}"));
            return None;
        }
        self.parsed(name, what)
    }

    /// Takes a moment as RFC 3339.
    pub fn moment(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        moment(&text).map_err(|fault| self.note(name, fault)).ok()
    }

    /// Notes a fault of one field.
    pub fn problem(&mut self, name: &str, code: &'static str, message: &str, hint: &str) {
        let pointer = match self.origin {
            // RFC 6901: `~` and `/` are escaped inside a step.
            Origin::Body => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Origin::Query => format!("?{name}"),
        };
        self.problem_at(pointer, code, message, hint);
    }

    /// Notes a fault at a pointer.
    pub fn problem_at(&mut self, pointer: String, code: &'static str, message: &str, hint: &str) {
        let (message, hint) = (message.to_owned(), hint.to_owned());
        self.problems.push(Problem { pointer, line: None, code, message, hint });
    }

    /// Takes over the faults of the object in the field `name`, once its own fields are taken.
    pub fn absorb(&mut self, name: &str, inner: Self, known: &[&str]) {
        for mut problem in inner.into_problems(known) {
            problem.pointer.insert_str(0, &format!("/{name}"));
            self.problems.push(problem);
        }
    }

    /// The end: what was not taken is unknown, and every fault is reported.
    pub fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        let origin = self.origin;
        let problems = self.into_problems(known);
        if problems.is_empty() {
            return Ok(());
        }
        match origin {
            Origin::Body => Err(ApiError::document(problems)),
            Origin::Query => {
                let detail = match problems.as_slice() {
                    [only] => format!("{}: {}", only.pointer, only.message),
                    more => format!("The query has {} faults; see errors.", more.len()),
                };
                let (code, title) = ("invalid_query", "Invalid query parameters");
                Err(ApiError::bad_request(code, title, detail).errors(problems))
            }
        }
    }

    fn into_problems(mut self, known: &[&str]) -> Vec<Problem> {
        let mut known = [known, &self.filters].concat();
        known.sort_unstable();
        let unknown: Vec<String> = self.rest.keys().cloned().collect();
        let hint = if known.is_empty() {
            "nothing is known here".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        for name in unknown {
            self.problem(&name, "unknown_key", &format!("{name:?} is not known here"), &hint);
        }
        self.problems.sort();
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::ForwardingFlowId;
    use crate::model::number::Did;
    use crate::model::time::Zone;

    #[test]
    fn a_fault_says_what_is_wrong_once_and_what_to_type_once() {
        let mut fields = Fields::of_query(Some("zone=x&flow=y&did=a/b"));
        assert!(fields.parsed::<Zone>("zone", "a time zone").is_none());
        assert!(fields.parsed::<ForwardingFlowId>("flow", "the id of a flow").is_none());
        assert!(fields.parsed::<Did>("did", "a number").is_none());
        let problems = fields.into_problems(&[]);
        let told: Vec<_> = problems.iter().map(|p| (&*p.message, &*p.hint)).collect();
        let wanted = [
            (
                r#""a/b" is not a number"#,
                "'/' cannot be part of it; use letters, digits and _ - . * # + only",
            ),
            (r#""y" is not the id of a flow"#, "an id looks like flw_ and 26 letters and digits"),
            (r#""x" is not a time zone"#, "type a name of the IANA database, as Europe/Berlin"),
        ];
        assert_eq!(told, wanted);
    }
}
