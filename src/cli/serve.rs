//! `divert serve`: the server itself, until SIGTERM or SIGINT.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::Telemetry;
use crate::config::Config;
use crate::{node, telemetry};

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Push out whoever is connected to Asterisk as the same application; for once, not for a unit
    #[arg(long)]
    take_over: bool,
}

/// # Errors
/// The node can not start, or failed for good.
pub async fn run(args: &ServeArgs, config: Config) -> anyhow::Result<()> {
    let notices = telemetry::init_log(&config.log)?;
    let metrics = telemetry::init_metrics()?;
    let telemetry =
        Telemetry { metrics: metrics.render(), notices: Arc::new(move || notices.list()) };
    let cancel = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("SIGINT")?;

    let stop = cancel.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminated.recv() => "SIGTERM",
            _ = interrupted.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to stop");
        stop.cancel();
    });
    // As a task, so that it runs where its commands do: every hand-over to another thread costs CPU.
    let node = tokio::spawn(node::run(config, args.take_over, telemetry, cancel));
    tokio::select! {
        result = node => result.context("the node failed")?,
        () = metrics.upkeep() => Ok(()),
    }
}
