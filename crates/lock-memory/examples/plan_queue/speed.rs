//! Speed-up of the run over the times in the file.

use std::fmt;
use std::time::Duration;

/// Speed-up of the run over the times in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed(f64);

impl Speed {
    /// The speed at which the shipped workload takes about eight seconds.
    pub(crate) const USUAL: Self = Self(40.0);
    const SLOWEST: f64 = 0.01;
    const FASTEST: f64 = 100_000.0;

    /// Reads a number; what is wrong with it is said as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(times) if (Self::SLOWEST..=Self::FASTEST).contains(&times) => Ok(Self(times)),
            _ => Err(format!(
                "--speed: `{}` is not a number from {} to {}",
                text.escape_debug(),
                Self::SLOWEST,
                Self::FASTEST
            )),
        }
    }

    /// Converts a span of the file to the run.
    pub(crate) fn in_the_run(self, span: Duration) -> Duration {
        span.div_f64(self.0)
    }

    /// Converts a span of the run to the file.
    pub(crate) fn in_the_file(self, span: Duration) -> Duration {
        span.mul_f64(self.0)
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_goes_there_and_back() {
        let speed = Speed::parse("2.5").unwrap();
        let span = Duration::from_secs(10);
        assert_eq!(speed.in_the_run(span), Duration::from_secs(4));
        assert_eq!(speed.in_the_file(speed.in_the_run(span)), span);
    }

    #[test]
    fn what_is_no_speed_is_refused() {
        for text in ["", "fast", "0", "-1", "NaN", "inf", "1e9", "0.001"] {
            let problem = Speed::parse(text).unwrap_err();
            assert_eq!(problem, format!("--speed: `{text}` is not a number from 0.01 to 100000"));
        }
    }
}
