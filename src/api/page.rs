//! Lists in pages: newest first, with an opaque cursor that names the last entry seen, so that a page
//! stays right while entries come and go.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use crate::model::filter::{PageFilters, PageSize};

/// Which page is asked for.
#[derive(Debug)]
pub(super) struct Page<Cursor> {
    pub limit: u32,
    /// The last entry of the page before.
    pub before: Option<Cursor>,
}

impl<Cursor: Copy + Display + Ord> Page<Cursor> {
    /// Takes `limit` and `cursor`, which `parse` reads.
    pub fn take_with(query: &mut Fields, parse: impl FnOnce(&str) -> Option<Cursor>) -> Self {
        let PageFilters { limit, cursor } = query.filters();
        let before = cursor.and_then(|cursor| {
            let text = URL_SAFE_NO_PAD.decode(&cursor).ok();
            let text = text.and_then(|text| String::from_utf8(text).ok());
            let cursor = text.and_then(|text| parse(&text));
            if cursor.is_none() {
                let hint = "send next_cursor of the page before, unchanged";
                query.problem("cursor", "invalid", "it is no cursor of this list", hint);
            }
            cursor
        });
        Self { limit: limit.unwrap_or(PageSize::DEFAULT), before }
    }

    /// The same where the cursor is an id.
    pub fn take(query: &mut Fields) -> Self
    where
        Cursor: FromStr,
    {
        Self::take_with(query, |text| text.parse().ok())
    }

    /// Reads the query string of a list that has no filters.
    pub fn of_query(query: Option<&str>) -> Result<Self, ApiError>
    where
        Cursor: FromStr,
    {
        let mut query = Fields::of_query(query);
        let page = Self::take(&mut query);
        query.finish(&[])?;
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
        id: impl Fn(&T) -> Cursor,
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
        id: impl Fn(&T) -> Cursor,
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
