//! What is answered while the node waits for its database: that it lives, and why it is not ready.

use std::future::Future;
use std::io::Result;
use std::os::fd::AsFd as _;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connections::{Door, Room};
use super::error::{ApiError, render};
use super::health::{healthz, report};
use super::request_id::RequestId;
use super::serve::Listeners;
use super::{Readiness, RowCounts};

impl Listeners {
    /// Answers until `cancel`, once there is a reason to wait; whoever comes before that waits for
    /// [`serve`](super::serve). The listeners themselves stay for that.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn answer_waiting(
        &self,
        room: Room,
        mut why: watch::Receiver<String>,
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
            if why.changed().await.is_err() {
                return;
            }
            let router = Router::new()
                .route("/healthz", get(healthz))
                .route("/readyz", get(readyz))
                .fallback(everything_else)
                .with_state(why);
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

async fn readyz(State(why): State<watch::Receiver<String>>) -> Response {
    report(Readiness {
        asterisk: Err("not connected to Asterisk yet".to_owned()),
        store: Err(why.borrow().clone()),
        trunks: Ok(()),
        rows: RowCounts::default(),
    })
}

async fn everything_else(
    State(why): State<watch::Receiver<String>>,
    headers: HeaderMap,
) -> Response {
    let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, why.borrow().clone());
    let refusal = ApiError::new(status, "store_unavailable", "Database unavailable", detail)
        .hint("divert starts as soon as its database is there")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"));
    render(refusal.into_response(), &RequestId::of(&headers))
}
