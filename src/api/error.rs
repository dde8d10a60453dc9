//! What a client is told when something is wrong: problem details as in RFC 9457.
//!
//! Errors travel through the handlers as [`ApiError`] and are written out once, where the id of the
//! request is known. What went wrong inside is logged under that id and never shown.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::request_id::RequestId;
use crate::model::objects::KINDS;
use crate::model::problem::Problem;
use crate::store::StoreError;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A refusal or a failure, still without the id of its request.
#[derive(Clone, Debug)]
pub(super) struct ApiError(Box<Refusal>);

#[derive(Clone, Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    hint: Option<String>,
    errors: Vec<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log only.
    internal: Option<String>,
}

/// The body of every answer that is an error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemDetails {
    /// Names the kind of problem; the same for every problem with this `code`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, in a sentence.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The id of the request, as in `X-Request-Id`; the log has it too.
    instance: String,
    /// Stable word for programs.
    code: &'static str,
    /// All faults of the document that was sent, each with its place.
    #[schema(value_type = Vec<FieldProblem>)]
    errors: Vec<Problem>,
}

/// One fault in what was sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes model::problem::Problem, which knows nothing of OpenAPI")]
pub(super) struct FieldProblem {
    /// JSON pointer into the body (RFC 6901), `/column` of a line, or `?name` for a query parameter.
    pointer: String,
    /// In a text of lines, that of the fault, from 1.
    #[schema(required = false, minimum = 1)]
    line: u32,
    /// Stable word for programs: `unknown_key`, `out_of_range`, `taken`, …
    code: String,
    /// What is wrong, in a sentence.
    message: String,
    /// What to type instead.
    hint: String,
}

impl ApiError {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Refusal {
            status,
            code,
            title,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            headers: Vec::new(),
            internal: None,
        }))
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    pub fn errors(mut self, errors: Vec<Problem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Nothing of the account has this id, whoever else may.
    pub fn no_such(word: &str) -> Self {
        let detail = format!("No {word} has this id.");
        let list = match word {
            "API key" => "keys".to_owned(),
            "destination" => "forwarding-flows/ID/destinations".to_owned(),
            word => match KINDS.iter().find(|kind| kind.word == word) {
                Some(kind) => kind.path_segment(),
                None => format!("{word}s"),
            },
        };
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
            .hint(format!("GET /v1/{list} lists those there are"))
    }

    pub fn bad_request(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, title, detail)
    }

    pub fn conflict(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, title, detail)
    }

    /// The faults of a document: 403 when one of them is that the account may not have this, 409 when
    /// only a clash with something existing is wrong, else 422.
    pub fn document(problems: Vec<Problem>) -> Self {
        let count = problems.len();
        let detail = match problems.as_slice() {
            [only] if only.pointer.is_empty() => only.message.clone(),
            [only] => format!("{}: {}", only.pointer, only.message),
            _ => format!("The document has {count} faults; see errors."),
        };
        let forbidden = problems.iter().find(|problem| problem.code == "toll_free_not_enabled");
        let error = if let Some(forbidden) = forbidden {
            let title = "Toll-free termination is not enabled";
            Self::new(StatusCode::FORBIDDEN, forbidden.code, title, detail)
                .hint(forbidden.hint.clone())
        } else if !problems.is_empty() && problems.iter().all(|p| p.code == "taken") {
            Self::conflict("taken", "Already taken", detail)
        } else {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid document", detail)
        };
        error.errors(problems)
    }

    /// Something stands in the way of a removal.
    pub fn not_removable(problems: Vec<Problem>) -> Self {
        let Some(first) = problems.first() else {
            return Self::internal("a removal was refused without a reason");
        };
        Self::conflict(first.code, "Cannot be removed", first.message.clone())
            .hint(first.hint.clone())
            .errors(problems)
    }

    /// Our fault: `what` goes to the log, the client gets the id to ask about.
    pub fn internal(what: impl Into<String>) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "Something went wrong inside divert.",
        )
        .hint("look for the id of this request in divert's log");
        error.0.internal = Some(what.into());
        error
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Taken { did } => {
                let detail = format!("Number {did} is taken on that server.");
                return Self::conflict("taken", "Already taken", detail)
                    .hint("remove it from the flow that has it first, in a request of its own");
            }
            StoreError::NameTaken { name } => {
                let detail = format!("The name {name:?} is taken.");
                return Self::conflict("taken", "Already taken", detail).hint("choose another");
            }
            StoreError::Dangling => {
                let detail = "It refers to something that is gone, or is still referred to.";
                return Self::conflict("dangling", "Conflict", detail).hint("read it again");
            }
            _ => {}
        }
        let mut mapped = Self::internal(error.to_string());
        if error.may_retry() {
            mapped.0.status = StatusCode::SERVICE_UNAVAILABLE;
            mapped.0.code = "store_unavailable";
            mapped.0.title = "Database unavailable";
            mapped.0.detail = String::from("The database did not answer; calls are still routed.");
            mapped.0.hint = Some("try again in a few seconds".to_owned());
            mapped.0.headers.push((header::RETRY_AFTER, HeaderValue::from_static("2")));
        }
        mapped
    }
}

impl IntoResponse for ApiError {
    /// Only the status and headers: [`render`] adds the body, because it needs the request's id.
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        for (name, value) in &self.0.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem details of an error, once; any other response passes as it is.
pub(super) fn render(mut response: Response, id: &RequestId) -> Response {
    let Some(ApiError(error)) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    if let Some(internal) = &error.internal {
        tracing::error!(request.id = %id, error.code = error.code, "request failed: {internal}");
    }
    let details = ProblemDetails {
        kind: format!("urn:divert:problem:{}", error.code),
        title: error.title,
        status: error.status.as_u16(),
        detail: error.detail,
        hint: error.hint,
        instance: id.to_string(),
        code: error.code,
        errors: error.errors,
    };
    let (mut parts, _) = response.into_parts();
    let body = Json(details).into_response().into_body();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    Response::from_parts(parts, body)
}
