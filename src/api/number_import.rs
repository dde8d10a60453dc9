//! Many numbers at once: a list of them, all of a range, or the lines of a CSV. All are added, or none.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::{self, MAX_IMPORT};
use super::change::{self, Part, Step};
use super::described::NumberImport;
use super::error::{ApiError, FieldProblem};
use super::etag;
use super::fields::Fields;
use super::key::Scope;
use crate::clock;
use crate::model::change::{Subject, diff};
use crate::model::configuration::Configuration;
use crate::model::document::{self, Unnamed};
use crate::model::id::NumberId;
use crate::model::problem::{Problem, similar};
use crate::model::tags::Tag;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(import))
}

/// What the columns of a CSV may be called.
const COLUMNS: [&str; 6] = ["did", "from", "to", "server", "forwarding_flow", "tags"];

/// What was sent: a document of numbers, and where its faults are for who sent it.
struct Numbers {
    document: Value,
    origin: Origin,
}

enum Origin {
    /// A list in a document.
    List,
    /// The body is itself the only one.
    Only,
    /// A CSV: the line of each.
    Lines(Vec<u64>),
}

impl<S: Sync> FromRequest<S> for Numbers {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(body, MAX_IMPORT).await?;
        if body::is_of(&parts.headers, "text/csv") {
            Self::of_csv(&bytes)
        } else {
            Self::of_json(body::parse(&parts.headers, &bytes, " or CSV")?)
        }
    }
}

impl Numbers {
    fn of_json(body: Value) -> Result<Self, ApiError> {
        if body.get("numbers").is_none() && body.is_object() {
            return Ok(Self { document: json!({ "numbers": [body] }), origin: Origin::Only });
        }
        let mut fields = Fields::of_body(body);
        let numbers = fields.take("numbers");
        if numbers.is_none() {
            fields.problem("numbers", "missing", "numbers is missing", "list the numbers to add");
        }
        fields.finish(&["numbers"])?;
        Ok(Self { document: json!({ "numbers": numbers }), origin: Origin::List })
    }

    /// Spreadsheets of some countries part the columns by `;`.
    fn of_csv(bytes: &[u8]) -> Result<Self, ApiError> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let delimiter = if head.contains(&b';') { b';' } else { b',' };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let head = reader.headers().map_err(|error| unreadable(&error))?.clone();
        let mut problems = Vec::new();
        for (at, column) in head.iter().enumerate() {
            let known = COLUMNS.join(", ");
            let fault = if !COLUMNS.contains(&column) {
                let hint = similar(column, COLUMNS).map(|meant| format!("did you mean {meant}?"));
                let hint = hint.unwrap_or_else(|| format!("the first line names columns: {known}"));
                ("unknown_key", format!("{column:?} is not a column here"), hint)
            } else if head.iter().take(at).any(|other| other == column) {
                ("repeated", format!("two columns are called {column}"), "keep one of them".into())
            } else {
                continue;
            };
            problems.push(at_line(1, format!("/{column}"), fault));
        }
        if head.is_empty() {
            let hint = "begin with a line of column names: did,forwarding_flow".to_owned();
            problems.push(at_line(1, String::new(), ("missing", "the text is empty".into(), hint)));
        }
        if !problems.is_empty() {
            return Err(ApiError::document(problems));
        }
        let (mut numbers, mut lines) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(|error| unreadable(&error))?;
            let line = record.position().map_or(1, |position| line_of(position, bytes));
            if record.len() > head.len() {
                let message =
                    format!("there are {} columns, and {} names", record.len(), head.len());
                let hint = "put a text with the delimiter in it into quotes".to_owned();
                problems.push(at_line(line, String::new(), ("wrong_type", message, hint)));
            }
            // Spreadsheets keep lines without anything in them: ",,,".
            if record.iter().all(str::is_empty) {
                continue;
            }
            let filled = head.iter().zip(&record).filter(|(_, text)| !text.is_empty());
            let value = |text: &str, column: &str| match column {
                "tags" => text.split_whitespace().collect(),
                _ => json!(text),
            };
            let fields = filled.map(|(key, text)| (key.to_owned(), value(text, key)));
            numbers.push(Value::Object(fields.collect::<Map<_, _>>()));
            lines.push(line);
        }
        if !problems.is_empty() {
            return Err(ApiError::document(problems));
        }
        Ok(Self { document: json!({ "numbers": numbers }), origin: Origin::Lines(lines) })
    }

    /// Numbers that are there already keep their tags where none are said: somebody who gives them an
    /// owner does not mean to lose them.
    fn keep_tags(&self, current: &Configuration, read: &mut Configuration) {
        let sent = self.document["numbers"].as_array().into_iter().flatten();
        let untagged = sent.filter(|one| one.get("tags").is_none_or(Value::is_null));
        let (mut dids, mut ranges) = (BTreeSet::new(), Vec::new());
        for one in untagged {
            let text = |key: &str| one[key].as_str().unwrap_or_default();
            if one.get("did").is_some() {
                dids.insert(text("did"));
            } else {
                // The ends of a range have one length, and differ in digits only.
                ranges.push((text("from"), text("to")));
            }
        }
        let is_untagged = |did: &str| {
            let is_within =
                |(from, to): &(&str, &str)| did.len() == from.len() && (*from..=*to).contains(&did);
            dids.contains(did) || ranges.iter().any(is_within)
        };
        let tagged = current.numbers.iter().filter(|number| !number.tags.is_empty());
        let then: BTreeMap<NumberId, &Vec<Tag>> = tagged.map(|it| (it.id, &it.tags)).collect();
        for number in &mut read.numbers {
            if let Some(tags) = then.get(&number.id)
                && number.tags.is_empty()
                && is_untagged(number.did.as_str())
            {
                number.tags = (*tags).clone();
            }
        }
    }

    /// Says where faults are in what was sent.
    fn at_home(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in &mut problems {
            let Some(rest) = problem.pointer.strip_prefix("/numbers/") else { continue };
            let (at, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let line = match &self.origin {
                Origin::List => continue,
                Origin::Only => None,
                Origin::Lines(lines) => at.parse().ok().and_then(|at: usize| lines.get(at)),
            };
            problem.line = line.and_then(|line| usize::try_from(*line).ok());
            problem.pointer = rest.to_owned();
        }
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// The line of what begins there; empty lines before it are passed over only then.
fn line_of(position: &csv::Position, bytes: &[u8]) -> u64 {
    let at = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(at..).unwrap_or_default().iter();
    let ends = rest.take_while(|byte| b"\r\n".contains(byte));
    ends.filter(|byte| **byte == b'\n').fold(position.line(), |line, _| line + 1)
}

fn at_line(
    line: u64,
    pointer: String,
    (code, message, hint): (&'static str, String, String),
) -> Problem {
    Problem { line: usize::try_from(line).ok(), ..Problem::new(pointer, code, message, hint) }
}

/// The one fault that the parser itself finds: rows may have any number of columns, but must be UTF-8.
fn unreadable(error: &csv::Error) -> ApiError {
    let line = error.position().map_or(1, csv::Position::line);
    let hint = "save it as UTF-8".to_owned();
    let fault = ("invalid", "this line is not text in UTF-8".to_owned(), hint);
    ApiError::document(vec![at_line(line, String::new(), fault)])
}

/// Add many numbers
///
/// A list, all numbers of a range, or a CSV whose first line names its columns: `did`, or `from` and
/// `to`, then `server`, `forwarding_flow` and `tags`, which are parted by blanks. A number that is
/// there already stays, with the tags that are said here or else those it has; one that belongs to
/// another flow is a fault. All are added, or none.
#[utoipa::path(
    post,
    path = "/v1/numbers/import",
    request_body(content(
        (NumberImport = "application/json", example = json!({ "numbers": [
            { "did": "+12025550120", "server": "pbx", "tags": ["spare"] },
            { "did": "+12025550121", "server": "pbx" },
        ] })),
        (String = "text/csv", example = json!("did,server,tags\n+12025550122,pbx,spare east\n")),
    )),
    responses((status = 200, description = "They are there", body = NumbersImported)),
)]
async fn import(
    State(api): State<Api>,
    identity: Identity,
    numbers: Numbers,
) -> Result<Response, ApiError> {
    identity.require(Scope::FlowsWrite)?;
    let edit = |current: &Configuration| {
        let read =
            document::read_document(&numbers.document, current, Unnamed::Keep, &mut clock::mint);
        let mut reading = read.map_err(|problems| ApiError::document(numbers.at_home(problems)))?;
        reading.warnings = numbers.at_home(reading.warnings);
        numbers.keep_tags(current, &mut reading.configuration);
        Ok(change::written((reading, ())))
    };
    let Step { before, after, version, made } =
        change::step(&api, &identity, &Part::Whole, edit).await?;
    let changes = diff(&before, &after).changes;
    let numbers = changes.iter().filter(|change| matches!(change.subject, Subject::Number(_)));
    let (changed, added): (Vec<_>, Vec<_>) = numbers.partition(|change| change.before.is_some());
    let answer = json!({ "added": added.len(), "changed": changed.len(), "version": version });
    Ok(etag::representation(StatusCode::OK, &made.tell(answer)))
}

/// What came of an import.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what import writes")]
struct NumbersImported {
    /// How many were not there before.
    #[schema(example = 2)]
    added: u64,
    /// How many got another owner or other tags.
    #[schema(example = 0)]
    changed: u64,
    /// The version of the configuration now.
    #[schema(example = 17)]
    version: i64,
    /// What is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_is_read_by_the_names_of_its_columns() {
        for text in [
            "did,forwarding_flow,tags\r\n+1202,sales,a  b\r\n 1001 ,,\r\n",
            "\u{feff}did;forwarding_flow;tags\n+1202;sales;a b\n\n1001\n",
            "did,forwarding_flow,tags\n+1202,sales,a b\n,,\n  \n1001,,\n,,\n",
        ] {
            let read = Numbers::of_csv(text.as_bytes()).unwrap();
            let wanted = json!({ "numbers": [
                { "did": "+1202", "forwarding_flow": "sales", "tags": ["a", "b"] },
                { "did": "1001" },
            ] });
            assert_eq!(read.document, wanted);
        }
        for bad in ["", "number\n1", "did,did\n1,2", "did\n1,2"] {
            assert!(Numbers::of_csv(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Numbers::of_csv(b"did\n\xff").is_err());
    }

    #[test]
    fn a_fault_is_at_the_line_it_stands_in() {
        let numbers = Numbers::of_csv(b"did\n1\n\n2\n").unwrap();
        let fault = Problem::new("/numbers/1/did", "taken", "", "");
        let told = numbers.at_home(vec![fault]);
        assert_eq!((told[0].line, told[0].pointer.as_str()), (Some(4), "/did"));
    }
}
