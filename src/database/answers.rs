//! The way back from a writer to those who wait for their actions.
//!
//! A group is answered together, and each wakening from another thread is a call of the kernel. So of those who wait on
//! one thread only the first is woken from outside, and wakes the others once it runs, or goes: there that costs next to
//! nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};

/// A way for one answer.
pub(super) fn way<T>() -> (Teller<T>, Hearer<T>) {
    let state = State { answer: None, waits: None, others: Vec::new(), ended: false, hurries: false };
    let way = Arc::new(Way(Mutex::new(state)));
    (Teller(Some(Arc::clone(&way))), Hearer(Some(way)))
}

struct Way<T>(Mutex<State<T>>);

/// On which thread somebody waits, and what wakes them.
type Place = (ThreadId, Waker);

struct State<T> {
    answer: Option<T>,
    /// Who waits, and where.
    waits: Option<Place>,
    /// Who is woken by this one.
    others: Vec<Waker>,
    /// Whether the one end has gone: nobody tells or hears any more.
    ended: bool,
    /// See [`Hearer::hurry`].
    hurries: bool,
}

impl<T> Way<T> {
    /// Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who will tell the answer. When it goes without a word, who waits hears that.
pub(super) struct Teller<T>(Option<Arc<Way<T>>>);

impl<T> Teller<T> {
    /// Tells the answer, and wakes who waits for it.
    pub(super) fn tell(self, answer: T) {
        if let Some((_, (_, waker))) = self.leave(answer) {
            waker.wake();
        }
    }

    /// See [`Hearer::hurry`].
    pub(super) fn hurries(&self) -> bool {
        self.0.as_ref().is_some_and(|way| way.lock().hurries)
    }

    /// Leaves the answer, and gives who waits for it.
    fn leave(mut self, answer: T) -> Option<(Arc<Way<T>>, Place)> {
        let way = self.0.take()?;
        let mut state = way.lock();
        if state.ended {
            return None;
        }
        state.answer = Some(answer);
        let waits = state.waits.take();
        drop(state);
        Some((way, waits?))
    }
}

impl<T: Send + 'static> Teller<T> {
    /// Tells the answer; who waits for it is woken with the others of the round.
    pub(super) fn tell_in(self, answer: T, round: &mut Round) {
        round.0.extend(self.leave(answer).map(|(way, (place, waker))| Waits { place, waker, way }));
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        let Some(way) = self.0.take() else { return };
        let mut state = way.lock();
        state.ended = true;
        let waits = state.waits.take();
        drop(state);
        if let Some((_, waker)) = waits {
            waker.wake();
        }
    }
}

/// Who waits for the answer: a future. `None` when nobody will tell it any more. The way is gone once it is heard.
pub(super) struct Hearer<T>(Option<Arc<Way<T>>>);

impl<T> Hearer<T> {
    /// Asks for the answer as soon as it can be told at all, though it may not hold yet.
    pub(super) fn hurry(&self) {
        if let Some(way) = &self.0 {
            way.lock().hurries = true;
        }
    }

    /// Blocks the calling thread until the answer is there.
    pub(super) fn wait(mut self) -> Option<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            if let Poll::Ready(answer) = Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                return answer;
            }
            thread::park();
        }
    }
}

impl<T> Future for Hearer<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(way) = &self.0 else { return Poll::Ready(None) };
        let mut state = way.lock();
        let others = std::mem::take(&mut state.others);
        let answer = match state.answer.take() {
            Some(answer) => Poll::Ready(Some(answer)),
            None if state.ended => Poll::Ready(None),
            None => {
                let here = thread::current().id();
                match &mut state.waits {
                    Some((place, waker)) if waker.will_wake(context.waker()) => *place = here,
                    waits => *waits = Some((here, context.waker().clone())),
                }
                Poll::Pending
            }
        };
        state.ended |= answer.is_ready();
        drop(state);
        if answer.is_ready() {
            self.0 = None;
        }
        others.into_iter().for_each(Waker::wake);
        answer
    }
}

impl<T> Drop for Hearer<T> {
    fn drop(&mut self) {
        let Some(way) = &self.0 else { return };
        let mut state = way.lock();
        state.ended = true;
        let others = std::mem::take(&mut state.others);
        let unheard = (state.answer.take(), state.waits.take());
        drop(state);
        others.into_iter().for_each(Waker::wake);
        drop(unheard);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Those who were told their answers together. When it goes, they are woken.
#[derive(Default)]
pub(super) struct Round(Vec<Waits>);

struct Waits {
    place: ThreadId,
    waker: Waker,
    way: Arc<dyn Leads>,
}

impl Round {
    /// Wakes them.
    pub(super) fn wake(self) {}
}

impl Drop for Round {
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.0);
        while let Some(Waits { place, waker, way }) = left.pop() {
            let others: Vec<Waker> =
                left.extract_if(.., |waits| waits.place == place).map(|waits| waits.waker).collect();
            match way.lead(others) {
                Ok(()) => waker.wake(),
                Err(others) => others.into_iter().for_each(Waker::wake),
            }
        }
    }
}

/// Who waits and can wake others.
trait Leads: Send + Sync {
    /// Has them woken when this one runs. Gives them back if it has done so, or has gone, already.
    fn lead(&self, others: Vec<Waker>) -> Result<(), Vec<Waker>>;
}

impl<T: Send> Leads for Way<T> {
    fn lead(&self, others: Vec<Waker>) -> Result<(), Vec<Waker>> {
        let mut state = self.lock();
        if state.ended {
            return Err(others);
        }
        state.others = others;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    /// Counts its wakenings.
    #[derive(Default)]
    pub(in crate::database) struct Counted(AtomicUsize);

    impl Counted {
        pub(in crate::database) fn count(&self) -> usize {
            self.0.load(SeqCst)
        }
    }

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    type Waiting = (Vec<Teller<usize>>, Vec<Hearer<usize>>, Vec<Arc<Counted>>);

    /// So many who wait on this thread, with what counts how often each was woken.
    fn waiting(count: usize) -> Waiting {
        let (tellers, mut hearers): (Vec<_>, Vec<_>) = (0..count).map(|_| way()).unzip();
        let wakers: Vec<Arc<Counted>> = (0..count).map(|_| Arc::default()).collect();
        for (hearer, waker) in hearers.iter_mut().zip(&wakers) {
            assert_eq!(poll(hearer, waker), Poll::Pending);
        }
        (tellers, hearers, wakers)
    }

    fn poll(hearer: &mut Hearer<usize>, waker: &Arc<Counted>) -> Poll<Option<usize>> {
        Pin::new(hearer).poll(&mut Context::from_waker(&Waker::from(waker.clone())))
    }

    fn woken(wakers: &[Arc<Counted>]) -> Vec<usize> {
        wakers.iter().map(|waker| waker.count()).collect()
    }

    fn tell_all(tellers: Vec<Teller<usize>>) {
        let mut round = Round::default();
        tellers.into_iter().enumerate().for_each(|(number, teller)| teller.tell_in(number, &mut round));
    }

    #[test]
    fn one_of_a_thread_is_woken_and_wakes_the_others() {
        let (tellers, mut hearers, wakers) = waiting(3);
        tell_all(tellers);
        assert_eq!(woken(&wakers), [0, 0, 1]);
        assert_eq!(poll(&mut hearers[2], &wakers[2]), Poll::Ready(Some(2)));
        assert_eq!(woken(&wakers), [1, 1, 1]);
        assert_eq!(poll(&mut hearers[0], &wakers[0]), Poll::Ready(Some(0)));
    }

    #[test]
    fn who_goes_wakes_the_others() {
        let (tellers, mut hearers, wakers) = waiting(3);
        tell_all(tellers);
        hearers.pop();
        assert_eq!(woken(&wakers), [1, 1, 1]);
    }

    #[test]
    fn who_has_gone_or_run_already_leads_nobody() {
        let (mut tellers, mut hearers, wakers) = waiting(4);
        hearers.pop();
        let mut round = Round::default();
        tellers.drain(..).enumerate().for_each(|(number, teller)| teller.tell_in(number, &mut round));
        assert_eq!(poll(&mut hearers[2], &wakers[2]), Poll::Ready(Some(2)));
        round.wake();
        assert_eq!(woken(&wakers), [1, 1, 0, 0]);
    }

    #[test]
    fn each_thread_has_its_first() {
        let (tellers, _hearers, mut wakers) = waiting(2);
        let (more, _others, theirs) = thread::spawn(|| waiting(2)).join().unwrap();
        wakers.extend(theirs);
        tell_all(tellers.into_iter().chain(more).collect());
        assert_eq!(woken(&wakers), [0, 1, 0, 1]);
    }

    #[test]
    fn who_tells_nothing_is_heard_going() {
        let (tellers, mut hearers, wakers) = waiting(1);
        drop(tellers);
        assert_eq!(woken(&wakers), [1]);
        assert_eq!(poll(&mut hearers[0], &wakers[0]), Poll::Ready(None));
    }

    #[test]
    fn a_thread_may_wait() {
        let (teller, hearer) = way();
        thread::scope(|scope| {
            scope.spawn(|| teller.tell(7));
            assert_eq!(hearer.wait(), Some(7));
        });
    }
}
