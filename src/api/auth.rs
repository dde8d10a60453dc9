//! Who asks, and what they may do.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Api;
use super::error::ApiError;
use super::key::{PresentedKey, Scope};
use crate::clock;
use crate::model::change::Author;
use crate::model::id::{AccountId, KeyId};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::text::unseen;

/// What stands in front of a router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Every request under `/v1` carries a key.
    Keys,
    /// Whoever can open the socket is the operator: no key, the default account, every scope, no
    /// rate limits.
    Local,
}

/// The account and the rights behind one request.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub account: AccountId,
    /// `None` on the local socket.
    pub key: Option<KeyId>,
    /// That of the key, or of the user of the machine.
    name: String,
    scopes: Vec<Scope>,
}

/// By which the program at the other end of the local socket says for whom it asks.
pub const USER_HEADER: HeaderName = HeaderName::from_static("divert-user");
/// Who asks on the local socket and does not say who it is.
const SOMEBODY: &str = "local";
const MAX_USER: usize = 60;

impl Identity {
    /// Whoever can open the socket may say what they like, also who they are.
    fn local(headers: &HeaderMap) -> Self {
        let user = headers.get(USER_HEADER).and_then(|user| user.to_str().ok()).unwrap_or_default();
        let is_name = !user.is_empty() && user.len() <= MAX_USER && unseen(user).is_none();
        let name = if is_name { user } else { SOMEBODY }.to_owned();
        Self { account: DEFAULT_ACCOUNT, key: None, name, scopes: Vec::new() }
    }

    /// Who makes the change that is asked for.
    pub fn author(&self) -> Author {
        Author { key: self.key, name: self.name.clone() }
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.key.is_none() || self.scopes.iter().any(|&s| s == scope || s == Scope::Admin)
    }

    /// Refuses, naming the scope that is missing.
    pub fn require(&self, scope: Scope) -> Result<(), ApiError> {
        self.require_one(scope, &[])
    }

    /// Refuses unless there is this scope or one of those that include it, naming the smallest.
    pub fn require_one(&self, scope: Scope, larger: &[Scope]) -> Result<(), ApiError> {
        if self.may(scope) || larger.iter().any(|scope| self.may(*scope)) {
            return Ok(());
        }
        let detail = format!("This key lacks the scope {scope}.");
        let hint = format!("make a key that has it: divert keys create --scope {scope}");
        Err(ApiError::new(StatusCode::FORBIDDEN, "missing_scope", "Not allowed", detail).hint(hint))
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let missing = || ApiError::internal("a handler asks for an identity outside /v1");
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// The layer in front of everything under `/v1`.
pub(super) async fn identify(
    State((api, access)): State<(Api, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = match access {
        Access::Local => Identity::local(request.headers()),
        Access::Keys => match of_key(&api, request.headers()).await {
            Ok(identity) => identity,
            Err(error) => return error.into_response(),
        },
    };
    request.extensions_mut().insert(identity);
    next.run(request).await
}

async fn of_key(api: &Api, headers: &HeaderMap) -> Result<Identity, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(unauthorized("key_missing", "This needs an API key."));
    };
    let presented = value.to_str().ok().and_then(credential);
    let Some(presented) = presented.as_deref().and_then(PresentedKey::parse) else {
        return Err(unauthorized("key_malformed", "The Authorization header holds no API key."));
    };
    let found = api.db.find_key(presented.id).await?;
    let Some((account, kept)) = found.filter(|(_, kept)| presented.is(kept)) else {
        return Err(unauthorized("key_unknown", "No such API key."));
    };
    if kept.revoked_at.is_some() {
        return Err(unauthorized("key_revoked", "This API key was revoked."));
    }
    if kept.expires_at.is_some_and(|at| at <= clock::now()) {
        return Err(unauthorized("key_expired", "This API key has expired."));
    }
    // A scope of a later release is no right in this one.
    let scopes = kept.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    Ok(Identity { account, key: Some(kept.id), name: kept.name, scopes })
}

/// The key in `Bearer <key>`, or in `Basic`, where it is the user name: `curl -u dvk_…:`.
fn credential(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    decoded.split(':').next().map(str::to_owned)
}

fn unauthorized(code: &'static str, detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, "Not authenticated", detail)
        .hint("send Authorization: Bearer dvk_…; divert keys create makes a key")
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"divert\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_as_bearer_or_as_the_user_of_basic() {
        assert_eq!(credential("Bearer dvk_a"), Some("dvk_a".into()));
        assert_eq!(credential("bearer  dvk_a "), Some("dvk_a".into()));
        let basic = format!("Basic {}", STANDARD.encode("dvk_a:"));
        assert_eq!(credential(&basic), Some("dvk_a".into()));
        for bad in ["", "dvk_a", "Digest x", "Basic !", "Bearer"] {
            assert_eq!(credential(bad), None, "{bad}");
        }
    }
}
