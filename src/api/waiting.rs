//! What is answered while the node waits for its database: that it lives, and that it is not ready.
//! Keys are in the database, so anybody may be asking: where that is, and what is wrong with it, only
//! the log tells.

use std::future::Future;
use std::io::Result;
use std::os::fd::AsFd as _;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::RowCounts;
use super::connections::{Door, Room};
use super::error::{ApiError, render};
use super::health::{healthz, report};
use super::request_id::RequestId;
use super::serve::Listeners;

impl Listeners {
    /// Answers until `cancel`, from the first word of `is_late` on; whoever comes before that waits for
    /// [`serve`](super::serve). The listeners themselves stay for that.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn answer_waiting(
        &self,
        room: Room,
        mut is_late: watch::Receiver<()>,
        cancel: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static + use<>> {
        let tcp = TcpListener::from_std(self.tcp.as_fd().try_clone_to_owned()?.into())?;
        let unix = match &self.unix {
            Some((unix, _)) => {
                Some(UnixListener::from_std(unix.as_fd().try_clone_to_owned()?.into())?)
            }
            None => None,
        };
        Ok(async move {
            if is_late.changed().await.is_err() {
                return;
            }
            let router = Router::new()
                .route("/healthz", get(healthz))
                .route("/readyz", get(readyz))
                .fallback(everything_else);
            let remote = Door::new("tcp", router.clone(), room.tcp, room.head);
            let local = Door::new("unix", router, room.unix, room.head);
            let over_unix = async {
                if let Some(unix) = unix {
                    local.attend(unix, &cancel).await;
                }
            };
            tokio::join!(remote.attend(tcp, &cancel), over_unix);
        })
    }
}

const WAITING: &str = "waiting for the database; the log of divert tells why";

async fn readyz() -> Response {
    report(Err("not connected to Asterisk yet"), Err(WAITING), Ok(()), RowCounts::default())
}

async fn everything_else(headers: HeaderMap) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let refusal = ApiError::new(status, "store_unavailable", "Database unavailable", WAITING)
        .hint("divert starts as soon as its database is there")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"));
    render(refusal.into_response(), &RequestId::of(&headers))
}
