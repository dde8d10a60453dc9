//! Lists in pages: newest first, with an opaque cursor that names the last entry seen, so that a page
//! stays right while entries come and go.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use crate::model::id::IdError;

/// The parameters every list has.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what Page reads")]
pub(super) struct PageParameters {
    /// Entries per page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200, required = false)]
    limit: u32,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: String,
}

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Page<Id> {
    pub limit: u32,
    /// The last entry of the page before.
    pub before: Option<Id>,
}

impl<Id> Page<Id>
where
    Id: Copy + Display + FromStr<Err = IdError> + Ord,
{
    const DEFAULT: u32 = 50;
    const MAX: u32 = 200;

    /// Takes `limit` and `cursor`.
    pub fn take(query: &mut Fields) -> Self {
        let limit = query.whole("limit", &(1..=Self::MAX)).unwrap_or(Self::DEFAULT);
        let before = query.text("cursor").and_then(|cursor| {
            let id = URL_SAFE_NO_PAD.decode(&cursor).ok();
            let id = id.and_then(|id| String::from_utf8(id).ok()).and_then(|id| id.parse().ok());
            if id.is_none() {
                let hint = "send next_cursor of the page before, unchanged";
                query.problem("cursor", "invalid", "it is no cursor of this list", hint);
            }
            id
        });
        Self { limit, before }
    }

    /// Reads the query string of a list that has no filters.
    pub fn of_query(query: Option<&str>) -> Result<Self, ApiError> {
        let mut query = Fields::of_query(query);
        let page = Self::take(&mut query);
        query.finish(&["limit", "cursor"])?;
        Ok(page)
    }

    /// One more than the page holds, to learn whether there is another.
    pub fn probe(&self) -> u32 {
        self.limit + 1
    }

    /// Cuts the page out of all entries.
    pub fn of<T>(
        &self,
        entries: impl IntoIterator<Item = T>,
        id: impl Fn(&T) -> Id,
        write: impl Fn(&T) -> Value,
    ) -> Response {
        let mut entries: Vec<T> = entries.into_iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(id(entry)));
        entries.retain(|entry| self.before.is_none_or(|before| id(entry) < before));
        self.cut(&entries, id, write)
    }

    /// The page from entries that are in order already, at most [`Page::probe`] of them.
    pub fn cut<T>(
        &self,
        entries: &[T],
        id: impl Fn(&T) -> Id,
        write: impl Fn(&T) -> Value,
    ) -> Response {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = entries.len() > limit;
        let shown = &entries[..entries.len().min(limit)];
        let last = shown.last().filter(|_| has_more);
        let next_cursor = last.map(|last| URL_SAFE_NO_PAD.encode(id(last).to_string()));
        let data: Vec<Value> = shown.iter().map(write).collect();
        let page = json!({ "data": data, "next_cursor": next_cursor, "has_more": has_more });
        etag::representation(StatusCode::OK, &page)
    }
}
