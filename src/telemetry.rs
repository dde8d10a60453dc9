//! What the program tells about itself: log lines through `tracing`, numbers for Prometheus.
//!
//! Numbers carry no ids and no phone numbers as labels: each would be a time series of its own.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use self::notices::Notices;
use crate::config::{LogConfig, LogFormat};

mod notices;

/// Renders all numbers in the text format of Prometheus.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// How often histograms are folded when nobody scrapes them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Seconds, from a decision in memory to a conversation.
const DECISION: &[f64] = &[0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
const REQUEST: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const SETUP: &[f64] = &[0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];
const TALK: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];

/// Starts logging to standard error, which systemd and containers collect. Warnings and errors are kept
/// besides, whatever the filter lets through.
///
/// # Errors
/// The filter is not understood, or logging was started before.
pub fn init_log(log: &LogConfig) -> anyhow::Result<Notices> {
    let filter = EnvFilter::try_new(&log.filter).context("log.filter")?;
    let json = match log.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colour);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.boxed()
    };
    let notices = Notices::default();
    let kept = notices.clone().with_filter(LevelFilter::WARN);
    let started =
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(kept).try_init();
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))?;
    Ok(notices)
}

/// Collects numbers from here on. Histograms are named by what they measure: `…_decision_seconds`,
/// `…_setup_seconds`, `…_talk_seconds`; any other counts as a request.
///
/// # Errors
/// They were being collected already.
pub fn init_metrics() -> anyhow::Result<Metrics> {
    let ends_in = |end: &str| Matcher::Suffix(end.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets(REQUEST)?
        .set_buckets_for_metric(ends_in("_decision_seconds"), DECISION)?
        .set_buckets_for_metric(ends_in("_setup_seconds"), SETUP)?
        .set_buckets_for_metric(ends_in("_talk_seconds"), TALK)?
        .install_recorder()?;
    metrics::gauge!("divert_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Metrics { handle })
}

/// The numbers of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    #[must_use]
    pub fn render(&self) -> Render {
        let handle = self.handle.clone();
        Arc::new(move || handle.render())
    }

    /// Keeps memory flat while nobody scrapes; runs until it is dropped.
    pub async fn upkeep(self) {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tick.tick().await;
            self.handle.run_upkeep();
        }
    }
}
