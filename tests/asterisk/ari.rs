//! ARI as a test sees it: plain JSON, one line for each request. Not divert's own client, whose
//! mistakes it would share.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

pub const PASSWORD: &str = "lab-secret";

#[derive(Clone, Debug)]
pub struct Ari {
    base: String,
    user: &'static str,
    http: reqwest::Client,
}

impl Ari {
    pub fn new(port: u16, user: &'static str) -> Self {
        Self { base: format!("http://127.0.0.1:{port}/ari"), user, http: client() }
    }

    /// `None` while nobody answers.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let answer = self.request(Method::GET, path).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub async fn get_bytes(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.request(Method::GET, path).send().await.ok()?;
        Some(answer.error_for_status().ok()?.bytes().await.ok()?.to_vec())
    }

    pub async fn post(&self, path: &str, query: &[(&str, &str)], body: &Value) -> Value {
        let request = self.request(Method::POST, path).query(query).json(body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "POST {path} {query:?}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What is not there is deleted.
    pub async fn delete(&self, path: &str) {
        let answer = self.request(Method::DELETE, path).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "DELETE {path}: {status}");
    }

    /// The websocket that tells everything that happens.
    pub fn events(&self) -> (String, String) {
        let socket = self.base.replacen("http", "ws", 1);
        let url =
            format!("{socket}/events?app=watch&subscribeAll=true&api_key={}:{PASSWORD}", self.user);
        (url, self.base.clone())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.request(method, url).basic_auth(self.user, Some(PASSWORD))
    }
}

/// Built without TLS in mind, which the library wants to know about nevertheless.
pub fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

pub fn client_builder() -> reqwest::ClientBuilder {
    // An error means that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Asterisk closes idle connections after 15 s.
    reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .pool_idle_timeout(Duration::from_secs(8))
        .no_proxy()
}
