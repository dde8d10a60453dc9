//! Who changed what, and taking it back.

use std::collections::BTreeMap;
use std::fmt;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::change::{self, Part, Step};
use super::described::PageOf;
use super::error::{ApiError, FieldProblem};
use super::etag;
use super::fields::Fields;
use super::key::Scope;
use super::page::Page;
use super::path::PathText;
use crate::clock;
use crate::model::change::{Changed, Subject};
use crate::model::configuration::{AllNames, Configuration};
use crate::model::filter::{ChangeFilters, KindWord, PageFilters, SETTINGS};
use crate::model::id::{NumberId, ObjectId};
use crate::model::object::Names;
use crate::model::objects::Kind;
use crate::model::plan;
use crate::model::undo::undo;
use crate::store::ChangedFilter;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(take_back))
}

/// The place of a change among all, newest last.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    version: i64,
    place: u32,
}

impl Place {
    fn of(changed: &Changed) -> Self {
        Self { version: changed.version, place: changed.place }
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, place) = text.split_once('.')?;
        Some(Self { version: version.parse().ok()?, place: place.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version, self.place)
    }
}

/// List changes of the configuration
///
/// One entry for each object that a change touched. Those of one version were made together.
#[utoipa::path(
    get,
    path = "/v1/changes",
    params(ChangeFilters, PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<ObjectChange>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Fields::of_query(query.as_deref());
    let page = Page::take_with(&mut query, Place::parse);
    let ChangeFilters { kind, object, by } = query.filters();
    query.finish(&[])?;
    let filter = ChangedFilter { kind, object, author: by, version: None };
    let before = page.before.map(|Place { version, place }| (version, place));
    let found = api.db.changed(identity.account, &filter, before, page.probe()).await?;
    Ok(page.cut(&found, Place::of, |changed| json!(ObjectChange::of(changed))))
}

/// Read a change of the configuration
///
/// Each object as it was before and after. What they refer to is named as it is named now; what is
/// gone is told by its id, unless it was changed with them.
#[utoipa::path(
    get,
    path = "/v1/changes/{version}",
    params(("version" = String, Path, description = "The version that it led to")),
    responses((status = 200, description = "All of one version", body = VersionChange)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathText(version): PathText,
) -> Result<Response, ApiError> {
    let changed = find(&api, &identity, &version).await?;
    let first = changed.first().ok_or_else(no_such)?;
    let (current, _) = api.db.configuration_without_numbers(identity.account).await?;
    let names = NamesThen::of(&current, &changed);
    let told = |body: &Option<Value>| body.clone().map(|body| named(body, &names));
    let in_full = |changed: &Changed| ChangeInFull {
        change: ObjectChange::of(changed),
        before: told(&changed.before),
        after: told(&changed.after),
    };
    let whole = VersionChange {
        version: first.version,
        at: first.at.rfc3339(),
        by: ChangeAuthor::of(first),
        changes: changed.iter().map(in_full).collect(),
    };
    Ok(etag::representation(StatusCode::OK, &json!(whole)))
}

/// Take a change back
///
/// What it touched becomes as it was before, in a change of its own. Nothing is changed when later
/// changes stand in the way: 409 lists the reasons. A change of the account or of rate decks needs
/// the scope `admin`.
#[utoipa::path(
    post,
    path = "/v1/changes/{version}/undo",
    params(("version" = String, Path, description = "The version that the change led to")),
    responses((status = 200, description = "It was taken back", body = TakenBack)),
)]
async fn take_back(
    State(api): State<Api>,
    identity: Identity,
    PathText(version): PathText,
) -> Result<Response, ApiError> {
    identity.require(Scope::FlowsWrite)?;
    let changed = find(&api, &identity, &version).await?;
    if changed.iter().any(|changed| is_of_operator(changed.subject)) {
        identity.require(Scope::Admin)?;
    }
    let edit = |current: &Configuration| {
        let undone = undo(current, &changed, &mut clock::mint).map_err(|reasons| {
            let detail = format!("Change {version} cannot be undone; see errors.");
            ApiError::conflict("cannot_undo", "Cannot be undone", detail).errors(reasons)
        })?;
        Ok(change::written((undone, ())))
    };
    let Step { before, after, version, made } =
        change::step(&api, &identity, &Part::Whole, edit).await?;
    let answer = json!({ "version": version, "changes": plan::describe(&before, &after) });
    Ok(etag::representation(StatusCode::OK, &made.tell(answer)))
}

/// All changes of one version, at least one.
async fn find(api: &Api, identity: &Identity, version: &str) -> Result<Vec<Changed>, ApiError> {
    let version: i64 = version.parse().map_err(|_| no_such())?;
    let changed = api.db.changed_in(identity.account, version).await?;
    if changed.is_empty() { Err(no_such()) } else { Ok(changed) }
}

fn no_such() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found", "No change has this number.")
        .hint("GET /v1/changes lists those there are")
}

fn is_of_operator(subject: Subject) -> bool {
    match subject {
        Subject::Account => true,
        Subject::Number(_) => false,
        Subject::Object(id) => Kind::by_prefix(id.prefix()).is_some_and(|kind| kind.is_of_operator),
    }
}

/// What things are called now, and what those were called that went with the same change.
struct NamesThen<'a> {
    now: AllNames<'a>,
    then: BTreeMap<ObjectId, &'a str>,
}

impl<'a> NamesThen<'a> {
    fn of(current: &'a Configuration, changed: &'a [Changed]) -> Self {
        let then = changed.iter().filter_map(|one| match one.subject {
            Subject::Object(id) => Some((id, one.name.as_str())),
            Subject::Account | Subject::Number(_) => None,
        });
        Self { now: AllNames::of(current), then: then.collect() }
    }
}

impl Names for NamesThen<'_> {
    fn name(&self, id: ObjectId) -> Option<String> {
        let then = || self.then.get(&id).map(|name| (*name).to_owned());
        self.now.name(id).or_else(then)
    }
}

/// With names in place of ids, but for its own.
fn named(body: Value, names: &dyn Names) -> Value {
    match body {
        Value::String(text) => {
            let name = text.parse::<ObjectId>().ok().and_then(|id| names.name(id));
            Value::String(name.unwrap_or(text))
        }
        Value::Array(items) => items.into_iter().map(|item| named(item, names)).collect(),
        Value::Object(members) => {
            let member = |(key, value)| match key {
                key if key == "id" => (key, value),
                key => (key, named(value, names)),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        other => other,
    }
}

/// One object that was changed.
#[derive(Serialize, ToSchema)]
struct ObjectChange {
    /// The version of the configuration that it led to.
    #[schema(example = 17)]
    version: i64,
    at: String,
    by: ChangeAuthor,
    /// `account`, `number`, or the kind of the object.
    #[schema(example = "forwarding_flow")]
    kind: String,
    /// `null` for the account.
    #[schema(example = "flw_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: Option<String>,
    /// What it is called afterwards, or was called before it was removed.
    #[schema(example = "sales")]
    name: String,
    /// `add`, `change` or `remove`.
    #[schema(example = "change")]
    action: &'static str,
}

/// Who made a change.
#[derive(Serialize, ToSchema)]
struct ChangeAuthor {
    /// The API key, if it came with one.
    #[schema(example = "key_01j3nnnyejx8kz0q4tt3b7m9ra")]
    key: Option<String>,
    /// The name of the key at that time, or of the user of the machine.
    #[schema(example = "monitoring")]
    name: String,
}

/// One object that was changed, as it was and as it became.
#[derive(Serialize, ToSchema)]
struct ChangeInFull {
    #[serde(flatten)]
    change: ObjectChange,
    /// `null` for what was added.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// `null` for what was removed.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

/// All that was changed together.
#[derive(Serialize, ToSchema)]
struct VersionChange {
    #[schema(example = 17)]
    version: i64,
    at: String,
    by: ChangeAuthor,
    changes: Vec<ChangeInFull>,
}

/// What taking a change back did.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what take_back writes")]
struct TakenBack {
    /// The version of the configuration now.
    #[schema(example = 18)]
    version: i64,
    /// Empty when all is as it was before already.
    changes: Vec<TakenBackLine>,
    /// What is allowed and probably not meant.
    #[schema(required = false)]
    warnings: Vec<FieldProblem>,
}

/// One line of what was done.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes model::plan::PlanLine, which knows nothing of OpenAPI")]
struct TakenBackLine {
    /// `add`, `change` or `remove`.
    #[schema(example = "change")]
    action: String,
    #[schema(example = "server slave-a: max_live 20 → 30")]
    text: String,
}

impl ObjectChange {
    fn of(changed: &Changed) -> Self {
        let (prefix, id) = match changed.subject {
            Subject::Account => (SETTINGS, None),
            Subject::Number(id) => (NumberId::PREFIX, Some(id.to_string())),
            Subject::Object(id) => (id.prefix(), Some(id.to_string())),
        };
        let kind = KindWord::all().find(|(_, known)| *known == prefix);
        Self {
            version: changed.version,
            at: changed.at.rfc3339(),
            by: ChangeAuthor::of(changed),
            kind: kind.map_or_else(|| prefix.to_owned(), |(word, _)| word),
            id,
            name: changed.name.clone(),
            action: match (&changed.before, &changed.after) {
                (None, _) => "add",
                (Some(_), Some(_)) => "change",
                (Some(_), None) => "remove",
            },
        }
    }
}

impl ChangeAuthor {
    fn of(changed: &Changed) -> Self {
        let author = &changed.author;
        Self { key: author.key.map(|key| key.to_string()), name: author.name.clone() }
    }
}
