//! The description for people.

use axum::http::StatusCode;

use super::{Ask, World};

#[tokio::test]
async fn the_page_and_all_it_is_made_of_come_out_of_the_binary_without_a_key() {
    let world = World::new().await;
    let page = world.keyed(Ask::get("/docs")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    // Nothing is fetched from anywhere else, and nothing may be.
    assert!(!page.text.contains("://"), "{}", page.text);
    assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
    let parts = page.text.split(['"', '\'']).filter(|part| part.starts_with("/docs/"));
    let parts: Vec<&str> = parts.collect();
    assert!(parts.contains(&"/docs/swagger-ui-bundle.js"), "{parts:?}");
    for part in parts.into_iter().filter(|part| !part.ends_with("png")) {
        let file = world.keyed(Ask::get(part)).await;
        assert_eq!(file.status, StatusCode::OK, "{part}: {}", file.text);
        let kind = if part.ends_with("css") { "text/css" } else { "text/javascript" };
        assert_eq!(file.header("content-type"), kind, "{part}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
    let script = world.keyed(Ask::get("/docs/swagger-ui-bundle.js")).await;
    assert!(script.text.len() > 1_000_000 && script.text.contains("SwaggerUIBundle"));
    let start = world.keyed(Ask::get("/docs/start.js")).await;
    assert!(start.text.contains("\"/openapi.json\""), "{}", start.text);
    world.keyed(Ask::get("/docs/passwd")).await.assert_problem(404, "not_found");
    world.keyed(Ask::get("/docs/..%2Fpasswd")).await.assert_problem(404, "not_found");
}
