//! Resources of the configuration: one way to list, read, make, replace, patch and remove them.
//!
//! A change reads the configuration, edits a copy, and writes the difference on the condition that
//! nobody else wrote meanwhile; otherwise it starts over from what is there now.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Api;
use super::auth::Identity;
use super::error::ApiError;
use super::etag;
use super::idempotency::created;
use super::key::Scope;
use super::page::Page;
use crate::clock;
use crate::model::configuration::{Configuration, diff};
use crate::model::document::Reading;
use crate::model::id::{AccountId, IdError};
use crate::model::number::Did;
use crate::model::problem::Problem;
use crate::routing::check::advise;
use crate::store::StoreError;

/// How often a change starts over when others write at the same time.
const TRIES: usize = 5;

/// Which part of the configuration is read, and changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Of the numbers, of which there may be a million, only those that are written like this one.
    Around(Did),
    WithoutNumbers,
    Whole,
}

impl Part {
    /// It, and the version of the whole.
    async fn read(
        &self,
        api: &Api,
        account: AccountId,
    ) -> Result<(Configuration, i64), StoreError> {
        match self {
            Self::Around(did) => api.db.configuration_around(account, did).await,
            Self::WithoutNumbers => {
                let (part, version) = api.db.configuration_without_numbers(account).await?;
                Ok((part, version.configuration))
            }
            Self::Whole => api.db.configuration(account).await,
        }
    }
}

/// One kind of thing in a configuration.
pub(super) trait Resource {
    type Id: Copy + Display + FromStr<Err = IdError> + Ord + Send + Sync;
    /// What it lies in: nothing, or the id of a flow.
    type Parent: Copy + Send + Sync;

    /// What people call it: `server`.
    const WORD: &'static str;
    /// What its representation is made of.
    const PART: Part = Part::WithoutNumbers;
    /// What a key needs to make, change and remove it.
    const SCOPE: Scope = Scope::FlowsWrite;

    /// What has to be read to write it: which one, or what is to be made.
    fn part(
        _api: &Api,
        _account: AccountId,
        _of: Result<Self::Id, &Value>,
    ) -> impl Future<Output = Result<Part, ApiError>> + Send {
        std::future::ready(Ok(Part::Whole))
    }

    /// Everything there is, with its representation; `None` when there is no such parent.
    fn all(configuration: &Configuration, parent: Self::Parent) -> Option<Vec<(Self::Id, Value)>>;

    /// Replaces the one with this id, or makes a new one.
    fn put(
        document: &Value,
        parent: Self::Parent,
        id: Option<Self::Id>,
        configuration: &Configuration,
    ) -> Result<(Reading, Self::Id), Vec<Problem>>;

    fn remove(
        configuration: &Configuration,
        parent: Self::Parent,
        id: Self::Id,
    ) -> Result<Configuration, Vec<Problem>>;

    /// The representation of one.
    fn find(
        configuration: &Configuration,
        parent: Self::Parent,
        wanted: Self::Id,
    ) -> Result<Value, ApiError> {
        let all = Self::all(configuration, parent).unwrap_or_default();
        let found = all.into_iter().find(|(id, _)| *id == wanted);
        found.map(|(_, value)| value).ok_or_else(|| ApiError::no_such(Self::WORD))
    }
}

pub(super) async fn list<R: Resource>(
    api: &Api,
    identity: &Identity,
    parent: R::Parent,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let page = Page::of_query(query)?;
    let (configuration, _) = R::PART.read(api, identity.account).await?;
    let all = R::all(&configuration, parent);
    let all = all.ok_or_else(|| ApiError::no_such("forwarding flow"))?;
    Ok(page.of(all, |(id, _)| *id, |(_, value)| value.clone()))
}

pub(super) async fn read<R: Resource>(
    api: &Api,
    identity: &Identity,
    parent: R::Parent,
    id: R::Id,
) -> Result<Response, ApiError> {
    let (configuration, _) = R::PART.read(api, identity.account).await?;
    let value = R::find(&configuration, parent, id)?;
    Ok(etag::representation(StatusCode::OK, &value))
}

pub(super) async fn create<R: Resource>(
    api: &Api,
    identity: &Identity,
    parent: R::Parent,
    document: &Value,
    uri: &Uri,
) -> Result<Response, ApiError> {
    identity.require(R::SCOPE)?;
    let document = given(document.clone());
    let edit = |current: &Configuration| {
        if R::all(current, parent).is_none() {
            return Err(ApiError::no_such("forwarding flow"));
        }
        R::put(&document, parent, None, current).map(written).map_err(ApiError::document)
    };
    let part = R::part(api, identity.account, Err(&document)).await?;
    let (configuration, written) = change(api, identity.account, &part, edit).await?;
    let value = written.tell(R::find(&configuration, parent, written.id)?);
    Ok(created(StatusCode::CREATED, &value, uri.path()))
}

/// What came of writing one thing.
pub(super) struct Written<Id> {
    pub id: Id,
    warnings: Vec<Problem>,
}

/// What `change` needs of what was read, with everything there is to say about it.
pub(super) fn written<Id>((reading, id): (Reading, Id)) -> (Configuration, Written<Id>) {
    let mut warnings = reading.warnings;
    warnings.extend(advise(&reading.configuration, &reading.places));
    (reading.configuration, Written { id, warnings })
}

impl<Id> Written<Id> {
    /// The representation, with the warnings if there are any.
    pub fn tell(&self, mut value: Value) -> Value {
        if !self.warnings.is_empty() {
            value[etag::WARNINGS] = json!(self.warnings);
        }
        value
    }
}

/// A document as it was sent, but for the warnings that came with it: who sends back what he got
/// asks for no change.
pub(super) fn given(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.remove(etag::WARNINGS);
    }
    document
}

/// How a document becomes the next representation of what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Update {
    /// It is merged into it (RFC 7396).
    Patch,
    /// It takes its place.
    Replace,
}

impl Update {
    /// What the representation `before` becomes.
    pub fn apply(self, before: Value, document: &Value) -> Value {
        given(match self {
            Self::Patch => merged(before, document),
            Self::Replace => document.clone(),
        })
    }
}

pub(super) async fn update<R: Resource>(
    api: &Api,
    identity: &Identity,
    parent: R::Parent,
    id: R::Id,
    (how, headers, document): (Update, &HeaderMap, &Value),
) -> Result<Response, ApiError> {
    identity.require(R::SCOPE)?;
    let edit = |current: &Configuration| {
        let before = R::find(current, parent, id)?;
        etag::check_if_match(headers, &before)?;
        let next = how.apply(before, document);
        R::put(&next, parent, Some(id), current).map(written).map_err(ApiError::document)
    };
    let part = R::part(api, identity.account, Ok(id)).await?;
    let (configuration, written) = change(api, identity.account, &part, edit).await?;
    let value = written.tell(R::find(&configuration, parent, id)?);
    Ok(etag::representation(StatusCode::OK, &value))
}

pub(super) async fn remove<R: Resource>(
    api: &Api,
    identity: &Identity,
    parent: R::Parent,
    id: R::Id,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    identity.require(R::SCOPE)?;
    let part = R::part(api, identity.account, Ok(id)).await?;
    change(api, identity.account, &part, |current| {
        etag::check_if_match(headers, &R::find(current, parent, id)?)?;
        let next = R::remove(current, parent, id).map_err(ApiError::not_removable)?;
        Ok((next, ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Writes what `edit` makes of the configuration, and tells the node.
pub(super) async fn change<T>(
    api: &Api,
    account: AccountId,
    part: &Part,
    edit: impl Fn(&Configuration) -> Result<(Configuration, T), ApiError>,
) -> Result<(Configuration, T), ApiError> {
    for _ in 0..TRIES {
        let (current, version) = part.read(api, account).await?;
        let (next, made) = edit(&current)?;
        let changes = diff(&current, &next);
        if changes.is_empty() {
            return Ok((next, made));
        }
        match api.db.change(account, version, &changes, clock::now()).await {
            Ok(_) => {
                api.node.configuration_changed();
                return Ok((next, made));
            }
            Err(StoreError::Stale { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let detail = "The configuration is being changed by others all the time.";
    Err(ApiError::conflict("busy", "Busy", detail).hint("try again in a few seconds"))
}

/// JSON merge patch, RFC 7396 §2.
fn merged(mut target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    if !target.is_object() {
        target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(fields) = &mut target {
        for (name, value) in patch {
            if value.is_null() {
                fields.remove(name);
            } else {
                let old = fields.remove(name).unwrap_or_default();
                fields.insert(name.clone(), merged(old, value));
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_merges_as_rfc_7396_appendix_a_says() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (target, patch, result) in cases {
            assert_eq!(merged(target.clone(), &patch), result, "{target} + {patch}");
        }
    }
}
