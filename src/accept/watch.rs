//! Decides when a connection has had its time. It looks now and then at what passed since its last look; it does no
//! I/O and sets no timer for single requests.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::marks::Marks;

/// How long a connection may rest while others wait to be accepted.
const IDLE_WHEN_FULL: Duration = Duration::from_secs(1);

/// What a look comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Fine,
    /// Say goodbye: it rests too long, or has nothing to do while the server stops.
    Close,
    /// The server stops: say goodbye after what runs.
    Stop,
    /// Cut it off: it broke a limit.
    Refuse(&'static str),
}

/// The time between two looks: a quarter of the shortest limit, and never so long that the date would be a second off.
pub(super) fn tick(limits: &Limits) -> Duration {
    let shortest = limits.head_time.min(limits.idle).min(limits.write_pause);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(500))
}

/// The watch over one connection.
#[derive(Debug)]
pub(super) struct Watch {
    head_time: Duration,
    idle: Duration,
    write_pause: Duration,
    most: usize,
    open: Arc<AtomicUsize>,
    marks: Rc<Marks>,
    /// Requests that had begun at the last look.
    begun: u64,
    resting: Option<Instant>,
    head: Option<Instant>,
    /// Since when nothing was written that waits, and how many writes there were.
    stalled: Option<(Instant, u64)>,
}

impl Watch {
    /// A watch over a connection from now on.
    pub(super) fn new(limits: &Limits, open: Arc<AtomicUsize>, marks: Rc<Marks>) -> Watch {
        Watch {
            head_time: limits.head_time,
            idle: limits.idle,
            write_pause: limits.write_pause,
            most: limits.connections,
            open,
            marks,
            begun: 0,
            resting: None,
            head: None,
            stalled: None,
        }
    }

    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        Rc::strong_count(&self.marks) == 1
    }

    /// Looks, and leaves word where that comes to something.
    pub(super) fn tell(&mut self, now: Instant, stopping: bool) {
        match self.look(now, stopping) {
            Verdict::Fine if self.marks.waiting.get() => self.marks.wake(),
            Verdict::Fine => {}
            verdict => self.marks.tell(verdict),
        }
    }

    /// Tells that the server stops.
    pub(super) fn stop(&self) {
        self.marks.tell(Verdict::Stop);
    }

    /// Looks at what passed.
    pub(super) fn look(&mut self, now: Instant, stopping: bool) -> Verdict {
        if self.is_stalled(now) {
            return Verdict::Refuse("the client stopped taking its answer");
        }
        if self.marks.running.get() > 0 || self.marks.stalled.get() {
            (self.resting, self.head) = (None, None);
            return Verdict::Fine;
        }
        if stopping {
            return Verdict::Close;
        }
        if self.begun != self.marks.begun.get() {
            self.begun = self.marks.begun.get();
            (self.resting, self.head) = (None, None);
        }
        let patience = self.patience();
        match self.is_in_head() {
            true if has_lasted(&mut self.head, now, self.head_time) => {
                Verdict::Refuse("the head of a request took too long")
            }
            false if has_lasted(&mut self.resting, now, patience) => Verdict::Close,
            _ => Verdict::Fine,
        }
    }

    /// Whether a request is on its way. An HTTP/2 connection sends other things while it rests.
    fn is_in_head(&self) -> bool {
        self.begun == 0 || (self.marks.head_begun.get() && !self.marks.is_http2.get())
    }

    fn patience(&self) -> Duration {
        if self.open.load(Relaxed) >= self.most { self.idle.min(IDLE_WHEN_FULL) } else { self.idle }
    }

    fn is_stalled(&mut self, now: Instant) -> bool {
        if !self.marks.stalled.get() {
            self.stalled = None;
            return false;
        }
        let writes = self.marks.writes.get();
        match self.stalled {
            Some((since, before)) if before == writes => now - since >= self.write_pause,
            _ => {
                self.stalled = Some((now, writes));
                false
            }
        }
    }
}

/// Whether something that goes on now has gone on for `limit`.
fn has_lasted(since: &mut Option<Instant>, now: Instant, limit: Duration) -> bool {
    now - *since.get_or_insert(now) >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(http2: bool) -> (Watch, Rc<Marks>, Arc<AtomicUsize>, Instant) {
        let (marks, open) = (Rc::new(Marks::default()), Arc::new(AtomicUsize::new(1)));
        let limits = Limits { connections: 2, ..Limits::default() };
        marks.is_http2.set(http2);
        (Watch::new(&limits, open.clone(), marks.clone()), marks, open, Instant::now())
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_head_has_its_time() {
        let (mut watch, marks, _, start) = watch(false);
        marks.head_begun.set(true);
        assert_eq!(watch.look(start, false), Verdict::Fine);
        assert_eq!(watch.look(after(start, 9), false), Verdict::Fine);
        assert!(matches!(watch.look(after(start, 10), false), Verdict::Refuse(_)));
    }

    #[test]
    fn each_request_begins_a_new_rest() {
        let (mut watch, marks, open, start) = watch(false);
        for request in 1..5 {
            marks.begun.set(request);
            assert_eq!(watch.look(after(start, request * 50), false), Verdict::Fine);
        }
        assert_eq!(watch.look(after(start, 259), false), Verdict::Fine);
        open.store(2, Relaxed);
        assert_eq!(watch.look(after(start, 259), false), Verdict::Close, "others wait");
        open.store(1, Relaxed);
        assert_eq!(watch.look(after(start, 260), false), Verdict::Close);
    }

    #[test]
    fn a_running_request_is_left_alone() {
        let (mut watch, marks, _, start) = watch(false);
        marks.running.set(1);
        marks.begun.set(1);
        assert_eq!(watch.look(start, true), Verdict::Fine);
        assert_eq!(watch.look(after(start, 1000), true), Verdict::Fine);
        marks.running.set(0);
        assert_eq!(watch.look(after(start, 1001), true), Verdict::Close);
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_off() {
        let (mut watch, marks, _, start) = watch(false);
        marks.running.set(1);
        marks.stalled.set(true);
        assert_eq!(watch.look(start, false), Verdict::Fine);
        marks.writes.set(1);
        assert_eq!(watch.look(after(start, 29), false), Verdict::Fine);
        assert_eq!(watch.look(after(start, 58), false), Verdict::Fine);
        assert!(matches!(watch.look(after(start, 59), false), Verdict::Refuse(_)));
    }

    #[test]
    fn http2_may_send_pings_while_it_rests() {
        let (mut watch, marks, _, start) = watch(true);
        marks.begun.set(1);
        marks.head_begun.set(true);
        assert_eq!(watch.look(start, false), Verdict::Fine);
        assert_eq!(watch.look(after(start, 59), false), Verdict::Fine);
        assert_eq!(watch.look(after(start, 60), false), Verdict::Close);
    }
}
