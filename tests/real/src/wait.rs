//! Waiting: asking again until a deadline.

use std::time::{Duration, Instant};

/// Deadline of most waits: generous, since two slow cores may run five agents.
pub const WITHIN: Duration = Duration::from_secs(90);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer. `Err` says what is still missing; the last one is part of the
/// failure.
///
/// # Errors
/// If the deadline passes first.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(missing) if Instant::now() >= deadline => {
                anyhow::bail!("{what}: not within {} s: {missing}", within.as_secs())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
