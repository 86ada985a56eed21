//! What a round came to.

use std::time::Duration;

use crate::answer::Failure;

/// Counts while the round runs.
#[derive(Default)]
pub struct Tally {
    /// All that was received, heads too.
    pub bytes: u64,
    /// In microseconds, of each answer that became whole.
    latencies: Vec<u32>,
    failed: u64,
    first_failure: Option<Failure>,
}

impl Tally {
    /// An answer became whole.
    pub fn answered(&mut self, latency: Duration) {
        self.latencies.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// A request failed.
    pub fn failed(&mut self, failure: Failure) {
        self.failed += 1;
        self.first_failure.get_or_insert(failure);
    }

    /// Why the first request failed that did.
    pub fn first_failure(&self) -> Option<Failure> {
        self.first_failure
    }

    /// The line for standard output, as `load/report.lua` writes it.
    pub fn line(mut self, took: Duration) -> String {
        self.latencies.sort_unstable();
        format!(
            r#"round {{"requests": {}, "duration_us": {}, "bytes": {}, "p50_us": {}, "p99_us": {}, "max_us": {}, "failed": {}}}"#,
            self.latencies.len(),
            took.as_micros(),
            self.bytes,
            percentile(&self.latencies, 50),
            percentile(&self.latencies, 99),
            percentile(&self.latencies, 100),
            self.failed,
        )
    }
}

/// The least value that so many in a hundred don't exceed, of values in order; 0 if there are none.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_the_round() {
        let mut tally = Tally { bytes: 1000, ..Tally::default() };
        for latency in (1..=200).rev() {
            tally.answered(Duration::from_micros(latency));
        }
        tally.failed("it broke");
        let told = r#"round {"requests": 200, "duration_us": 1000000, "bytes": 1000, "p50_us": 100, "p99_us": 198, "max_us": 200, "failed": 1}"#;
        assert_eq!(tally.line(Duration::from_secs(1)), told);
    }

    #[test]
    fn a_round_without_an_answer_has_a_line_too() {
        let told = r#"round {"requests": 0, "duration_us": 1, "bytes": 0, "p50_us": 0, "p99_us": 0, "max_us": 0, "failed": 0}"#;
        assert_eq!(Tally::default().line(Duration::from_micros(1)), told);
    }
}
