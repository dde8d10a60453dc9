//! Lists as CSV (RFC 4180), for programs and, with `excel=1`, for people's spreadsheets.
//!
//! A spreadsheet runs a field that begins like a formula, and callers choose their own names: such
//! a field gets a `'` in front (CWE-1236). Phone numbers in international form are left alone,
//! unless it is for a spreadsheet, which would take them for sums.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use csv::{Terminator, WriterBuilder};
use futures_util::stream::{self, StreamExt as _, TryStream};
use strum::{EnumString, VariantNames};

use super::error::ApiError;
use super::fields::Fields;
use crate::model::filter::{OneOf, filters};
use crate::model::text::{unseen, visible};
use crate::store::StoreError;

filters! {
    /// How a list is written as CSV.
    pub struct CsvFilters {
        /// `1`: for a spreadsheet, with a byte order mark and `'` before `+` of phone numbers too.
        excel: OneOf<Dialect> = "0",
    }
}

/// For whom the text is.
#[derive(Clone, Copy, Debug, EnumString, Eq, PartialEq, VariantNames)]
pub enum Dialect {
    #[strum(serialize = "0")]
    Program,
    #[strum(serialize = "1")]
    Spreadsheet,
}

impl Dialect {
    pub(super) fn take(query: &mut Fields) -> Self {
        query.filters::<CsvFilters>().excel.unwrap_or(Self::Program)
    }

    /// Some lines of the text.
    pub(super) fn lines<F: AsRef<str>>(
        self,
        rows: impl IntoIterator<Item = impl IntoIterator<Item = F>>,
    ) -> Result<Bytes, csv::Error> {
        let mut writer = WriterBuilder::new()
            .terminator(Terminator::CRLF)
            .flexible(true)
            .from_writer(Vec::new());
        for row in rows {
            for field in row {
                writer.write_field(self.safe(field.as_ref()).as_bytes())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer.into_inner().map(Bytes::from).map_err(|error| error.into_error().into())
    }

    /// The first line.
    pub(super) fn head(self, names: &[impl AsRef<str>]) -> Result<Bytes, csv::Error> {
        let line = self.lines([names])?;
        Ok(match self {
            Self::Program => line,
            Self::Spreadsheet => [BYTE_ORDER_MARK, line.as_ref()].concat().into(),
        })
    }

    /// A field that nothing takes for a formula, of which people see every character.
    fn safe(self, field: &str) -> Cow<'_, str> {
        let field = match unseen(field) {
            None => Cow::Borrowed(field),
            Some(_) => Cow::Owned(visible(field)),
        };
        let is_formula = field.starts_with(['=', '+', '-', '@']);
        if !is_formula || (self == Self::Program && is_phone_number(&field)) {
            field
        } else {
            Cow::Owned(format!("'{field}"))
        }
    }
}

fn is_phone_number(field: &str) -> bool {
    let digits = field.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// How many rows of an export are read at a time.
pub(super) const ROWS_AT_ONCE: u32 = 500;

/// The answer to an export: `read` gives the rows after the one it is told, at most
/// [`ROWS_AT_ONCE`], each with what it is to be known by.
pub(super) async fn export<Id, const N: usize, F>(
    name: &str,
    dialect: Dialect,
    columns: [&str; N],
    read: impl Fn(Option<Id>) -> F + Send + 'static,
) -> Result<Response, ApiError>
where
    Id: Copy + Send + 'static,
    F: Future<Output = Result<Vec<(Id, [String; N])>, StoreError>> + Send,
{
    let head = dialect.head(&columns)?;
    // A database that is away is told before the answer has begun.
    let first = read(None).await?;
    // Page by page: no connection is held for a client that reads slowly.
    let rest = stream::try_unfold((first, read), move |(rows, read)| async move {
        let Some((last, _)) = rows.last() else {
            return Ok::<_, Fault>(None);
        };
        let next =
            if rows.len() < ROWS_AT_ONCE as usize { Vec::new() } else { read(Some(*last)).await? };
        let lines = dialect.lines(rows.iter().map(|(_, row)| row))?;
        Ok(Some((lines, (next, read))))
    });
    Ok(answer(name, head, rest))
}

/// The answer: `head`, then whatever comes. It begins before all is read, so a fault on the way
/// cuts it off, which HTTP tells the client.
pub(super) fn answer<S>(name: &str, head: Bytes, rest: S) -> Response
where
    S: TryStream<Ok = Bytes, Error = Fault> + futures_util::Stream<Item = Result<Bytes, Fault>>,
    S: Send + 'static,
{
    let body = Body::from_stream(stream::once(async { Ok(head) }).chain(rest));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    headers.insert(header::CONTENT_TYPE, kind);
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// What cuts an answer off.
pub(super) type Fault = Box<dyn std::error::Error + Send + Sync>;

impl From<csv::Error> for ApiError {
    fn from(error: csv::Error) -> Self {
        Self::internal(format!("CSV: {error}"))
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use super::*;

    fn line(dialect: Dialect, fields: &[&str]) -> String {
        String::from_utf8(dialect.lines([fields]).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn what_begins_like_a_formula_is_taken_for_text() {
        for (field, program, spreadsheet) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)", "'@SUM(A1)"),
            ("-12", "'-12", "'-12"),
            ("\t=x", "'=x", "'=x"),
            ("Ann\u{202e}\u{feff} B\u{2028}", "Ann B", "Ann B"),
            ("+12025550100", "+12025550100", "'+12025550100"),
            ("+123456", "'+123456", "'+123456"),
            ("+1234567", "+1234567", "'+1234567"),
            ("+123456789012345", "+123456789012345", "'+123456789012345"),
            ("+1234567890123456", "'+1234567890123456", "'+1234567890123456"),
            ("+1202555010A", "'+1202555010A", "'+1202555010A"),
            ("+", "'+", "'+"),
            ("Zoë =1", "Zoë =1", "Zoë =1"),
            ("'", "'", "'"),
        ] {
            assert_eq!(line(Dialect::Program, &[field, ""]), format!("{program},\r\n"));
            assert_eq!(line(Dialect::Spreadsheet, &[field, ""]), format!("{spreadsheet},\r\n"));
        }
    }

    #[test]
    fn commas_quotes_and_line_ends_are_quoted() {
        let fields = ["a,b", "say \"hi\"", "two\r\nlines", " plain ", ""];
        assert_eq!(
            line(Dialect::Program, &fields),
            "\"a,b\",\"say \"\"hi\"\"\",twolines, plain ,\r\n"
        );
        assert_eq!(line(Dialect::Program, &[""]), "\"\"\r\n", "one empty field is no empty line");
    }

    #[test]
    fn a_spreadsheet_learns_that_it_is_utf_8() {
        let head = Dialect::Spreadsheet.head(&["id", "name"]).unwrap();
        assert_eq!(head, "\u{feff}id,name\r\n");
        assert_eq!(Dialect::Program.head(&["id", "name"]).unwrap(), "id,name\r\n");
    }
}
