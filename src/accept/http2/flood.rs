//! Tells clients that make work for nothing from those that ask for something.

use super::frame::{Code, Fault};

/// Frames that ask for nothing, one after the other: pings, settings, windows, empty pieces of headers and bodies. Far
/// more than any client sends between two requests or pieces of a body.
const MOST_NUISANCES: u32 = 10_000;

/// Requests that may be given up before it counts how many were not.
const FREE_RESETS: u32 = 100;

/// What a client made of its connection.
#[derive(Debug, Default)]
pub(super) struct Flood {
    nuisances: u32,
    begun: u32,
    resets: u32,
}

impl Flood {
    /// Something useful went on.
    pub(super) fn progress(&mut self) {
        self.nuisances = 0;
    }

    /// A request came.
    pub(super) fn begin(&mut self) {
        self.progress();
        self.begun = self.begun.saturating_add(1);
    }

    /// A frame asked for nothing.
    pub(super) fn nuisance(&mut self) -> Result<(), Fault> {
        self.nuisances += 1;
        match self.nuisances > MOST_NUISANCES {
            true => Err(Fault::Connection(Code::EnhanceYourCalm, "a flood of frames that ask for nothing")),
            false => Ok(()),
        }
    }

    /// A request was given up, or had to be. Who does so with most of them keeps more running than it may: those that
    /// are given up don't count towards the limit on streams ("rapid reset", CVE-2023-44487; "made you reset",
    /// CVE-2025-8671).
    pub(super) fn reset(&mut self) -> Result<(), Fault> {
        self.resets = self.resets.saturating_add(1);
        match self.resets > FREE_RESETS && self.resets > self.begun / 2 {
            true => Err(Fault::Connection(Code::EnhanceYourCalm, "most of its requests were given up")),
            false => Ok(()),
        }
    }
}

/// The streams that we have ended last. Frames of theirs may still be on their way, and are no fault.
#[derive(Debug, Default)]
pub(super) struct Resets {
    streams: [u32; 16],
    next: usize,
}

impl Resets {
    pub(super) fn note(&mut self, stream: u32) {
        self.streams[self.next] = stream;
        self.next = (self.next + 1) % self.streams.len();
    }

    pub(super) fn has(&self, stream: u32) -> bool {
        self.streams.contains(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_from_use() {
        let mut flood = Flood::default();
        for _ in 0..5 {
            assert!((0..MOST_NUISANCES).all(|_| flood.nuisance().is_ok()));
            flood.progress();
        }
        assert!((0..=MOST_NUISANCES).any(|_| flood.nuisance().is_err()));
    }

    #[test]
    fn most_requests_are_meant() {
        let mut flood = Flood::default();
        assert!((0..FREE_RESETS).all(|_| flood.reset().is_ok()));
        assert!(flood.reset().is_err());
        let mut flood = Flood::default();
        for _ in 0..1000 {
            flood.begin();
            flood.begin();
            assert!(flood.reset().is_ok());
        }
        assert!((0..1000).any(|_| flood.reset().is_err()));
    }

    #[test]
    fn the_last_resets_are_known() {
        let mut resets = Resets::default();
        (1..=17).for_each(|stream| resets.note(stream));
        assert!(!resets.has(1) && resets.has(2) && resets.has(17));
    }
}
