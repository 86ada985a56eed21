//! The commit to come of a group of actions, for those who were told ahead of it what their actions gave: they make their
//! answers while the disk is at work, and send them when it is done.
//!
//! As in [`super::answers`], of those who wait on one thread only the first is woken from outside, and wakes the others.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use super::Failure;

/// A commit to come: a future. Until it is `Ok`, nothing of its action may be told to anybody: it may still be lost.
#[must_use = "what the action gave holds only when this is Ok"]
#[derive(Default)]
pub struct Commit {
    /// Gone once it is known.
    group: Option<Arc<Group>>,
    /// Its place among those who wait, and the thread on which it does.
    place: Option<(usize, ThreadId)>,
}

/// Who commits. When it goes without a word, those who wait hear that.
pub(super) struct Committing(Arc<Group>);

/// Those who wait for one commit.
struct Group(Mutex<State>);

struct State {
    fate: Option<Result<(), Failure>>,
    /// On which thread each of them waits, and what wakes them; nothing of who has been woken or has gone.
    waiting: Vec<Option<(ThreadId, Waker)>>,
}

impl Group {
    /// Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commit {
    /// Whether it has succeeded already, before anybody asked.
    pub fn is_done(&self) -> bool {
        self.group.is_none()
    }
}

impl Committing {
    pub(super) fn begin(actions: usize) -> Committing {
        let state = State { fate: None, waiting: Vec::with_capacity(actions) };
        Committing(Arc::new(Group(Mutex::new(state))))
    }

    /// For one who waits.
    pub(super) fn commit(&self) -> Commit {
        Commit { group: Some(Arc::clone(&self.0)), place: None }
    }

    /// Tells all of them.
    pub(super) fn end(self, fate: Result<(), Failure>) {
        self.tell(fate);
    }

    fn tell(&self, fate: Result<(), Failure>) {
        let mut state = self.0.lock();
        if state.fate.is_some() {
            return;
        }
        state.fate = Some(fate);
        let mut firsts: Vec<(ThreadId, Waker)> = Vec::new();
        for waits in &mut state.waiting {
            if let Some(first) = waits.take_if(|(thread, _)| firsts.iter().all(|(other, _)| other != thread)) {
                firsts.push(first);
            }
        }
        drop(state);
        firsts.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        self.tell(Err(Failure::broken("the writer ended before its commit did")));
    }
}

impl State {
    /// Those who wait on this thread.
    fn take_of(&mut self, thread: ThreadId) -> Vec<Waker> {
        let here = self.waiting.iter_mut().filter_map(|waits| waits.take_if(|(place, _)| *place == thread));
        let wakers = here.map(|(_, waker)| waker).collect();
        // So that those who are woken don't look through all that is empty.
        let left = self.waiting.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.waiting.truncate(left);
        wakers
    }
}

impl Future for Commit {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Commit { group: Some(group), place } = &mut *self else { return Poll::Ready(Ok(())) };
        let mut state = group.lock();
        let Some(fate) = state.fate.clone() else {
            let number = place.map_or(state.waiting.len(), |(number, _)| number);
            if number == state.waiting.len() {
                state.waiting.push(None);
            }
            let here = thread::current().id();
            match &mut state.waiting[number] {
                Some((thread, waker)) if waker.will_wake(context.waker()) => *thread = here,
                waits => *waits = Some((here, context.waker().clone())),
            }
            *place = Some((number, here));
            return Poll::Pending;
        };
        let others = place.map_or_else(Vec::new, |(_, thread)| state.take_of(thread));
        drop(state);
        self.group = None;
        others.into_iter().for_each(Waker::wake);
        Poll::Ready(fate)
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let (Some(group), Some((number, thread))) = (self.group.take(), self.place) else { return };
        let mut state = group.lock();
        let own = state.waiting.get_mut(number).and_then(Option::take);
        // It may be the one who was to wake the others.
        let others = if own.is_none() && state.fate.is_some() { state.take_of(thread) } else { Vec::new() };
        drop(state);
        others.into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Commit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::answers::tests::Counted;

    type Waiting = (Commit, Arc<Counted>);

    /// So many who wait on this thread, with what counts how often each was woken.
    fn waiting(committing: &Committing, count: usize) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = (0..count).map(|_| (committing.commit(), Arc::default())).collect();
        waiting.iter_mut().for_each(|waits| assert_eq!(poll(waits), Poll::Pending));
        waiting
    }

    fn poll((commit, waker): &mut Waiting) -> Poll<Result<(), Failure>> {
        Pin::new(commit).poll(&mut Context::from_waker(&Waker::from(waker.clone())))
    }

    fn woken(waiting: &[Waiting]) -> Vec<usize> {
        waiting.iter().map(|(_, waker)| waker.count()).collect()
    }

    #[test]
    fn one_of_a_thread_is_woken_and_wakes_the_others() {
        let committing = Committing::begin(3);
        let mut here = waiting(&committing, 3);
        let there = thread::scope(|scope| scope.spawn(|| waiting(&committing, 2)).join().unwrap());
        committing.end(Ok(()));
        assert_eq!((woken(&here), woken(&there)), (vec![1, 0, 0], vec![1, 0]));
        assert_eq!(poll(&mut here[0]), Poll::Ready(Ok(())));
        assert_eq!((woken(&here), woken(&there)), (vec![1, 1, 1], vec![1, 0]));
        assert_eq!(poll(&mut here[2]), Poll::Ready(Ok(())));
        assert_eq!(woken(&here), [1, 1, 1]);
    }

    #[test]
    fn who_goes_wakes_the_others() {
        let committing = Committing::begin(3);
        let mut here = waiting(&committing, 4);
        // The first has gone before, the second goes after.
        drop(here.remove(0));
        committing.end(Err(Failure::Full));
        assert_eq!(woken(&here), [1, 0, 0]);
        drop(here.remove(0));
        assert_eq!(woken(&here), [1, 1]);
        assert_eq!(poll(&mut here[1]), Poll::Ready(Err(Failure::Full)));
    }

    #[test]
    fn who_asks_late_or_again_is_told() {
        let committing = Committing::begin(2);
        let mut here = waiting(&committing, 1);
        here[0].1 = Arc::default();
        assert_eq!(poll(&mut here[0]), Poll::Pending);
        let mut late = (committing.commit(), Arc::default());
        committing.end(Ok(()));
        assert_eq!(woken(&here), [1], "who is to be woken is who asked last");
        assert_eq!(poll(&mut late), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut here[0]), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_commit_that_nobody_ends_has_failed() {
        let committing = Committing::begin(1);
        let mut here = waiting(&committing, 1);
        drop(committing);
        assert_eq!(woken(&here), [1]);
        assert!(matches!(poll(&mut here[0]), Poll::Ready(Err(Failure::Broken { .. }))));
    }

    #[test]
    fn what_is_durable_already_waits_for_nothing() {
        assert!(Commit::default().is_done());
        assert_eq!(poll(&mut (Commit::default(), Arc::default())), Poll::Ready(Ok(())));
    }
}
