//! (to come)

use tokio_util::sync::CancellationToken;

/// # Errors
/// none
pub async fn run(
    _config: crate::config::Config,
    _metrics: crate::telemetry::Render,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    cancel.cancelled().await;
    Ok(())
}
