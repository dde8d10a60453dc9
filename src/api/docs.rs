//! The description for people: Swagger UI out of the binary, so that it works where no other network
//! is. It asks for a key where a request needs one, and itself needs none.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::Config;

use super::Api;
use super::error::ApiError;
use super::path::PathText;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(page)).routes(routes!(file))
}

/// Nothing is asked of anybody but divert.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
);

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>divert API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"#;

const START: &str = r##"window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  validatorUrl: null,
});
"##;

/// The API for people
///
/// Every operation with its parameters, bodies and answers, to be tried out.
#[utoipa::path(
    get,
    path = "/docs",
    responses((status = 200, description = "A page", content_type = "text/html", body = String)),
)]
async fn page() -> Response {
    answer("text/html; charset=utf-8", PAGE)
}

/// What that page is made of
#[utoipa::path(
    get,
    path = "/docs/{file}",
    params(("file" = String, Path, description = "Name of a file")),
    responses((status = 200, description = "The file", content(
        (String = "text/javascript"), (String = "text/css"), (String = "image/png"),
    ))),
)]
async fn file(PathText(name): PathText) -> Result<Response, ApiError> {
    if name == "start.js" {
        return Ok(answer("text/javascript", START));
    }
    let found = utoipa_swagger_ui::serve(&name, Arc::new(Config::from("/openapi.json")));
    let found = found.map_err(|error| ApiError::internal(error.to_string()))?;
    let file = found.ok_or_else(|| {
        let detail = format!("The documentation has no file {name}.");
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail).hint("GET /docs")
    })?;
    Ok(answer(&file.content_type, file.bytes.into_owned()))
}

fn answer(kind: &str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    // It is the same for as long as this divert runs, and large.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}
