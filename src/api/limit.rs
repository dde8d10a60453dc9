//! How often a key may ask: a general limit, and a tighter one for test calls, which cost money.
//!
//! Both limit arrival rate. How many calls are live at once is the business of slots, not of this.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::Api;
use super::auth::Identity;
use super::error::ApiError;
use crate::model::id::KeyId;

const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
const REQUEST_BURST: NonZeroU32 = NonZeroU32::new(40).unwrap();
const TEST_CALLS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The state of both limits, by key.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Limiter,
    test_calls: Limiter,
}

impl Default for Limits {
    fn default() -> Self {
        let requests = Quota::per_second(REQUESTS_PER_SECOND).allow_burst(REQUEST_BURST);
        Self {
            requests: Limiter::new(requests),
            test_calls: Limiter::new(Quota::per_minute(TEST_CALLS_PER_MINUTE)),
        }
    }
}

impl Limits {
    /// Takes one test call from the key's share.
    pub fn test_call(&self, identity: &Identity) -> Result<(), ApiError> {
        let Some(key) = identity.key else { return Ok(()) };
        let what = format!("{TEST_CALLS_PER_MINUTE} test calls a minute");
        self.test_calls
            .take(key)
            .map(drop)
            .map_err(|wait| self.test_calls.refusal("test_call_rate_limited", &what, wait))
    }

    /// Forgets keys that have their full share again, so that the tables do not grow for ever.
    pub fn sweep(&self) {
        for limiter in [&self.requests, &self.test_calls] {
            limiter.state.retain_recent();
            limiter.state.shrink_to_fit();
        }
    }
}

/// The layer behind [`super::auth::identify`].
pub(super) async fn limit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let key = request.extensions().get::<Identity>().and_then(|identity| identity.key);
    let Some(key) = key else { return next.run(request).await };
    let limiter = &api.limits.requests;
    match limiter.take(key) {
        Ok(remaining) => {
            let mut response = next.run(request).await;
            // The answer of a tighter limit stands.
            if !response.headers().contains_key(LIMIT) {
                response.headers_mut().extend(limiter.headers(remaining, limiter.full(remaining)));
            }
            response
        }
        Err(wait) => {
            let what = format!("{REQUESTS_PER_SECOND} requests a second");
            limiter.refusal("rate_limited", &what, wait).into_response()
        }
    }
}

#[derive(Debug)]
struct Limiter {
    state:
        RateLimiter<KeyId, DefaultKeyedStateStore<KeyId>, DefaultClock, StateInformationMiddleware>,
    quota: Quota,
    clock: DefaultClock,
}

impl Limiter {
    fn new(quota: Quota) -> Self {
        let state = RateLimiter::keyed(quota).with_middleware();
        Self { state, quota, clock: DefaultClock::default() }
    }

    /// What remains of the key's share, or how long until it has some again.
    fn take(&self, key: KeyId) -> Result<u32, Duration> {
        match self.state.check_key(&key) {
            Ok(after) => Ok(after.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(self.clock.now())),
        }
    }

    /// How long until the whole share is there again.
    fn full(&self, remaining: u32) -> Duration {
        let missing = self.quota.burst_size().get().saturating_sub(remaining);
        self.quota.replenish_interval() * missing
    }

    fn headers(&self, remaining: u32, reset: Duration) -> HeaderMap {
        HeaderMap::from_iter([
            (LIMIT, HeaderValue::from(self.quota.burst_size().get())),
            (REMAINING, HeaderValue::from(remaining)),
            (RESET, HeaderValue::from(whole_seconds(reset))),
        ])
    }

    fn refusal(&self, code: &'static str, what: &str, wait: Duration) -> ApiError {
        let seconds = whole_seconds(wait).max(1);
        let detail = format!("This key may make {what}.");
        let refusal =
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, "Too many requests", detail)
                .hint(format!("try again in {seconds} s"))
                .header(header::RETRY_AFTER, HeaderValue::from(seconds));
        self.headers(0, Duration::from_secs(seconds))
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)))
            .fold(refusal, |refusal, (name, value)| refusal.header(name, value))
    }
}

/// Rounded up: a client that waits this long is not too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
