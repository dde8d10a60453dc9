//! Objects of every kind: list, make, read, replace, change and remove, by the description that each
//! kind gives of itself. A new kind needs nothing here.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Part, Resource, Update};
use super::error::ApiError;
use super::fields::Fields;
use super::filters;
use super::key::Scope;
use super::page::Page;
use super::path::{PathText, object_id};
use crate::clock;
use crate::model::configuration::{AllNames, Configuration};
use crate::model::document::{self, Reading};
use crate::model::filter::{Filters as _, PageFilters, TagFilters, with_article};
use crate::model::id::ObjectId;
use crate::model::objects::{KINDS, Kind};
use crate::model::problem::Problem;
use crate::model::removal;

/// The routes of all kinds; [`paths`] describes them.
pub(super) fn routes() -> OpenApiRouter<Api> {
    KINDS.iter().fold(OpenApiRouter::new(), |routes, kind| {
        let home = home(kind);
        routes.route(&home, all(kind)).route(&format!("{home}/{{id}}"), one(kind))
    })
}

/// `/v1/rate-decks`
fn home(kind: &Kind) -> String {
    format!("/v1/{}", kind.path_segment())
}

/// What a key needs to change objects of this kind.
pub(super) fn scope(kind: &Kind) -> Scope {
    if kind.is_of_operator { Scope::Admin } else { Scope::FlowsWrite }
}

/// The objects of one kind.
#[derive(Clone, Copy)]
pub(super) struct Objects(pub &'static Kind);

impl Resource for Objects {
    type Id = ObjectId;

    fn word(self) -> &'static str {
        self.0.word
    }

    fn seen(self) -> Part {
        if self.0.has_numbers { Part::Whole } else { Part::WithoutNumbers }
    }

    fn scope(self) -> Scope {
        scope(self.0)
    }

    fn parse(self, text: &str) -> Option<ObjectId> {
        self.0.parse(text).ok()
    }

    fn all(self, configuration: &Configuration) -> Result<Vec<(ObjectId, Value)>, ApiError> {
        let ids = self.0.list(configuration).into_iter().map(|(id, _)| id);
        let names = AllNames::of(configuration);
        Ok(ids.zip(self.0.write_all(configuration, &names)).collect())
    }

    fn find(self, configuration: &Configuration, wanted: ObjectId) -> Result<Value, ApiError> {
        let found = self.0.write(configuration, wanted, configuration);
        found.ok_or_else(|| ApiError::no_such(self.0.word))
    }

    fn put(
        self,
        value: &Value,
        id: Option<ObjectId>,
        configuration: &Configuration,
    ) -> Result<(Reading, ObjectId), Vec<Problem>> {
        document::put(self.0, value, id, configuration, &mut clock::mint)
    }

    fn remove(
        self,
        configuration: &Configuration,
        id: ObjectId,
    ) -> Result<Configuration, Vec<Problem>> {
        removal::remove(configuration, self.0, id)
    }
}

/// Whether objects of this kind are found by tags.
fn has_tags(kind: &Kind) -> bool {
    (kind.fields)().iter().any(|field| field.name == "tags")
}

fn all(kind: &'static Kind) -> MethodRouter<Api> {
    let list =
        async move |State(api): State<Api>, identity: Identity, RawQuery(query): RawQuery| {
            list(kind, &api, &identity, query.as_deref()).await
        };
    let create =
        async move |State(api): State<Api>, identity: Identity, uri: Uri, Json(document): Json| {
            change::create(Objects(kind), &api, &identity, &document, &uri).await
        };
    get(list).post(create)
}

async fn list(
    kind: &'static Kind,
    api: &Api,
    identity: &Identity,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let of = Objects(kind);
    let mut query = Fields::of_query(query);
    let page = Page::take_with(&mut query, |text| of.parse(text));
    let TagFilters { tag } = if has_tags(kind) { query.filters() } else { TagFilters::default() };
    query.finish(&[])?;
    let (configuration, _) = of.seen().read(api, identity.account).await?;
    let mut all = of.all(&configuration)?;
    if let Some(tag) = tag {
        let is = |one: &Value| one == tag.as_str();
        all.retain(|(_, value)| value["tags"].as_array().is_some_and(|tags| tags.iter().any(is)));
    }
    Ok(page.of(all, |(id, _)| *id, |(_, value)| value.clone()))
}

fn one(kind: &'static Kind) -> MethodRouter<Api> {
    let read = async move |State(api): State<Api>, identity: Identity, PathText(id): PathText| {
        change::read(Objects(kind), &api, &identity, object_id(kind, &id)?).await
    };
    let update = move |how: Update| {
        async move |State(api): State<Api>,
                    identity: Identity,
                    PathText(id): PathText,
                    headers: HeaderMap,
                    Json(document): Json| {
            let id = object_id(kind, &id)?;
            let update = (how, &headers, &document);
            change::update(Objects(kind), &api, &identity, id, update).await
        }
    };
    let remove = async move |State(api): State<Api>,
                             identity: Identity,
                             PathText(id): PathText,
                             headers: HeaderMap| {
        change::remove(Objects(kind), &api, &identity, object_id(kind, &id)?, &headers).await
    };
    get(read).put(update(Update::Replace)).patch(update(Update::Patch)).delete(remove)
}

/// The operations of all kinds, by path, as `OpenAPI` has them.
pub(super) fn paths() -> Map<String, Value> {
    let of = |kind: &Kind| {
        let home = home(kind);
        [(home.clone(), describe_all(kind)), (format!("{home}/{{id}}"), describe_one(kind))]
    };
    KINDS.iter().flat_map(of).collect()
}

fn describe_all(kind: &Kind) -> Value {
    let name = kind.type_name();
    let mut filters = PageFilters::filters();
    if has_tags(kind) {
        filters.splice(0..0, TagFilters::filters());
    }
    json!({
        "get": {
            "summary": format!("List {}", kind.section.replace('_', " ")),
            "parameters": filters.iter().map(filters::described).collect::<Vec<_>>(),
            "responses": { "200": {
                "description": "One page, newest first",
                "content": { "application/json": { "schema": reference(&format!("PageOf_{name}")) } },
            } },
        },
        "post": {
            "summary": format!("Make {}", with_article(kind.word)),
            "requestBody": body(&name, "application/json", &(kind.example)()),
            "responses": { "201": answer(&name, "It was made") },
        },
    })
}

fn describe_one(kind: &Kind) -> Value {
    let (name, word) = (kind.type_name(), with_article(kind.word));
    let parameters = json!([{
        "name": "id", "in": "path", "required": true, "description": format!("Id of {word}"),
        "schema": { "type": "string" },
    }]);
    json!({
        "get": {
            "summary": format!("Read {word}"),
            "parameters": parameters,
            "responses": { "200": answer(&name, "As it is now") },
        },
        "put": {
            "summary": format!("Replace {word}"),
            "description": "What is left out takes its default.",
            "parameters": parameters,
            "requestBody": body(&name, "application/json", &(kind.example)()),
            "responses": { "200": answer(&name, "It was replaced") },
        },
        "patch": {
            "summary": format!("Change some fields of {word}"),
            "description": "A merge patch (RFC 7396): fields that are left out stay, `null` takes \
                the default.",
            "parameters": parameters,
            "requestBody": body(&name, "application/merge-patch+json", &patch_of(kind)),
            "responses": { "200": answer(&name, "It was changed") },
        },
        "delete": {
            "summary": format!("Remove {word}"),
            "parameters": parameters,
            "responses": { "204": { "description": "It is gone" } },
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn body(name: &str, media: &str, example: &Value) -> Value {
    json!({
        "required": true,
        "content": { media: {
            "schema": reference(&format!("{name}Document")), "example": example,
        } },
    })
}

fn answer(name: &str, about: &str) -> Value {
    json!({
        "description": about,
        "content": { "application/json": { "schema": reference(name) } },
    })
}

/// One field of the example that can be left out, so that changing it alone makes sense.
fn patch_of(kind: &Kind) -> Value {
    let example = (kind.example)();
    let either: Vec<&str> = (kind.either)().concat();
    let fields = (kind.fields)();
    let of_its_own = fields.iter().rev().find(|field| {
        !field.is_required && !either.contains(&field.name) && !example[field.name].is_null()
    });
    let name = of_its_own.map_or("name", |field| field.name);
    json!({ name: example[name] })
}

/// What each kind is, for who reads the operations by kind.
pub(super) fn tags() -> Vec<Value> {
    let tag = |kind: &Kind| json!({ "name": kind.path_segment(), "description": kind.doc() });
    KINDS.iter().map(tag).collect()
}
