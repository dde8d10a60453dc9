//! Resources of the configuration: one way to list, read, make, replace, patch and remove them.
//!
//! A change reads the configuration, edits a copy, and writes the difference on the condition that
//! nobody else wrote meanwhile; otherwise it starts over from what is there now.

use std::fmt::Display;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Api;
use super::auth::Identity;
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::idempotency::created;
use super::key::Scope;
use super::page::Page;
use crate::clock;
use crate::model::change::diff;
use crate::model::configuration::Configuration;
use crate::model::document::Reading;
use crate::model::id::AccountId;
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
    pub async fn read(
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

/// Things of one kind in a configuration: all of them, or those of one parent.
pub(super) trait Resource: Copy + Send + Sync {
    type Id: Copy + Display + Ord + Send + Sync;

    /// What people call one: `server`.
    fn word(self) -> &'static str;

    /// What the representation of one is made of.
    fn seen(self) -> Part {
        Part::WithoutNumbers
    }

    /// What a key needs to make, change and remove one.
    fn scope(self) -> Scope {
        Scope::FlowsWrite
    }

    /// What has to be read to write one: which one, or what is to be made.
    fn part(
        self,
        _api: &Api,
        _account: AccountId,
        _of: Result<Self::Id, &Value>,
    ) -> impl Future<Output = Result<Part, ApiError>> + Send {
        std::future::ready(Ok(Part::Whole))
    }

    /// An error where that is gone in which they stand.
    fn parent(self, _: &Configuration) -> Result<(), ApiError> {
        Ok(())
    }

    /// An id as it was typed.
    fn parse(self, text: &str) -> Option<Self::Id>;

    /// Everything there is, with its representation; an error when there is no such parent.
    fn all(self, configuration: &Configuration) -> Result<Vec<(Self::Id, Value)>, ApiError>;

    /// The representation of one.
    fn find(self, configuration: &Configuration, wanted: Self::Id) -> Result<Value, ApiError> {
        let found = self.all(configuration)?.into_iter().find(|(id, _)| *id == wanted);
        found.map(|(_, value)| value).ok_or_else(|| ApiError::no_such(self.word()))
    }

    /// Replaces the one with this id, or makes a new one.
    fn put(
        self,
        document: &Value,
        id: Option<Self::Id>,
        configuration: &Configuration,
    ) -> Result<(Reading, Self::Id), Vec<Problem>>;

    fn remove(
        self,
        configuration: &Configuration,
        id: Self::Id,
    ) -> Result<Configuration, Vec<Problem>>;
}

pub(super) async fn list<R: Resource>(
    of: R,
    api: &Api,
    identity: &Identity,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let mut query = Fields::of_query(query);
    let page = Page::take_with(&mut query, |text| of.parse(text));
    query.finish(&[])?;
    let (configuration, _) = of.seen().read(api, identity.account).await?;
    Ok(page.of(of.all(&configuration)?, |(id, _)| *id, |(_, value)| value.clone()))
}

pub(super) async fn read<R: Resource>(
    of: R,
    api: &Api,
    identity: &Identity,
    id: R::Id,
) -> Result<Response, ApiError> {
    let (configuration, _) = of.seen().read(api, identity.account).await?;
    Ok(etag::representation(StatusCode::OK, &of.find(&configuration, id)?))
}

pub(super) async fn create<R: Resource>(
    of: R,
    api: &Api,
    identity: &Identity,
    document: &Value,
    uri: &Uri,
) -> Result<Response, ApiError> {
    identity.require(of.scope())?;
    let document = given(document.clone());
    let edit = |current: &Configuration| {
        of.parent(current)?;
        of.put(&document, None, current).map(written).map_err(ApiError::document)
    };
    let part = of.part(api, identity.account, Err(&document)).await?;
    let (configuration, written) = change(api, identity, &part, edit).await?;
    let value = written.tell(of.find(&configuration, written.id)?);
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
    of: R,
    api: &Api,
    identity: &Identity,
    id: R::Id,
    (how, headers, document): (Update, &HeaderMap, &Value),
) -> Result<Response, ApiError> {
    identity.require(of.scope())?;
    let edit = |current: &Configuration| {
        let before = of.find(current, id)?;
        etag::check_if_match(headers, &before)?;
        let next = how.apply(before, document);
        of.put(&next, Some(id), current).map(written).map_err(ApiError::document)
    };
    let part = of.part(api, identity.account, Ok(id)).await?;
    let (configuration, written) = change(api, identity, &part, edit).await?;
    let value = written.tell(of.find(&configuration, id)?);
    Ok(etag::representation(StatusCode::OK, &value))
}

pub(super) async fn remove<R: Resource>(
    of: R,
    api: &Api,
    identity: &Identity,
    id: R::Id,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    identity.require(of.scope())?;
    let part = of.part(api, identity.account, Ok(id)).await?;
    change(api, identity, &part, |current| {
        etag::check_if_match(headers, &of.find(current, id)?)?;
        let next = of.remove(current, id).map_err(ApiError::not_removable)?;
        Ok((next, ()))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Writes what `edit` makes of the configuration, and tells the node.
pub(super) async fn change<T>(
    api: &Api,
    identity: &Identity,
    part: &Part,
    edit: impl Fn(&Configuration) -> Result<(Configuration, T), ApiError>,
) -> Result<(Configuration, T), ApiError> {
    let Step { after, made, .. } = step(api, identity, part, edit).await?;
    Ok((after, made))
}

/// A change that was written.
pub(super) struct Step<T> {
    /// What was read of the configuration, as it was.
    pub before: Configuration,
    pub after: Configuration,
    /// That of the whole, afterwards.
    pub version: i64,
    pub made: T,
}

/// The same as [`change`], told in full.
pub(super) async fn step<T>(
    api: &Api,
    identity: &Identity,
    part: &Part,
    edit: impl Fn(&Configuration) -> Result<(Configuration, T), ApiError>,
) -> Result<Step<T>, ApiError> {
    let (account, author) = (identity.account, identity.author());
    for _ in 0..TRIES {
        let (before, version) = part.read(api, account).await?;
        let (after, made) = edit(&before)?;
        let changes = diff(&before, &after);
        if changes.is_empty() {
            return Ok(Step { before, after, version, made });
        }
        match api.db.change(account, version, &changes, &author, clock::now()).await {
            Ok(version) => {
                api.node.configuration_changed();
                return Ok(Step { before, after, version, made });
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
