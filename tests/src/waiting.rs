//! Waiting for a condition with a deadline: the only place in the tests that lets time pass.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

/// How long a condition rests before it is asked again.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `condition` until it gives a value. `None` and errors mean "not yet"; the last error is shown when `limit` is
/// over.
///
/// # Errors
/// When `limit` is over, saying what was waited for.
pub fn wait_until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = quanta::Instant::now();
    loop {
        let outcome = condition();
        if let Ok(Some(value)) = outcome {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            let mut message = format!("waited {limit:?} for {what}");
            if let Err(error) = outcome {
                write!(message, "; at last: {error:#}")?;
            }
            bail!(message);
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_once_there_is_one() {
        let mut asked = 0;
        let value = wait_until(Duration::from_secs(5), "the third asking", || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn says_what_it_waited_for_and_why_it_did_not_come() {
        let never = || -> Result<Option<()>> { bail!("connection refused") };
        let error = wait_until(Duration::ZERO, "the server", never).unwrap_err().to_string();
        assert_eq!(error, "waited 0ns for the server; at last: connection refused");
    }
}
