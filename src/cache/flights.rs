//! Flights: answers that are being made, and those who wait for one instead of making it again.
//!
//! Who is the first to miss an answer makes it and holds a [`Maker`]; others with the same key become [`Joiner`]s, as long
//! as nothing has changed since the maker began: then the maker's rows hold all that anybody was told before the
//! joiner came. A maker that goes without a word, because its client hung up or the page panicked, wakes its joiners, of
//! whom the next one makes the answer. So nobody waits for somebody who is gone.
//!
//! Makers and joiners may stand on different threads; what one waits for is awaited, never blocked on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::Key;
use crate::database::versions::{Stamp, Versions};

/// Flights that are known at most; what is made beyond them is made by each for themselves.
const MOST: usize = 4096;

/// The answers that are being made.
#[derive(Debug)]
pub struct Flights<T> {
    open: Mutex<HashMap<Key, Arc<Flight<T>>>>,
}

/// How a flight ended.
#[derive(Debug)]
pub enum Landing<T> {
    /// With an answer for all who wait.
    Shared(Arc<T>),
    /// With an answer for its maker alone, or with a problem.
    Alone,
    /// Nobody knows: the maker is gone.
    Lost,
}

impl<T> Clone for Landing<T> {
    fn clone(&self) -> Landing<T> {
        match self {
            Landing::Shared(value) => Landing::Shared(value.clone()),
            Landing::Alone => Landing::Alone,
            Landing::Lost => Landing::Lost,
        }
    }
}

/// An answer that is being made.
#[derive(Debug)]
struct Flight<T> {
    /// The counts before its rows are read.
    stamp: Stamp,
    landing: OnceLock<Landing<T>>,
    landed: Notify,
}

/// What somebody is to do who misses an answer.
#[derive(Debug)]
pub enum Boarding<'f, T> {
    /// Make it; others may wait.
    Make(Maker<'f, T>),
    /// Wait for it.
    Join(Joiner<T>),
    /// Make it for oneself.
    Walk,
}

/// Somebody who makes an answer that others may wait for. When it goes, they go on.
#[derive(Debug)]
#[must_use = "the others wait as long as this lives"]
pub struct Maker<'f, T> {
    flights: &'f Flights<T>,
    key: Key,
    flight: Arc<Flight<T>>,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
pub struct Joiner<T>(Arc<Flight<T>>);

impl<T> Default for Flights<T> {
    fn default() -> Flights<T> {
        Flights { open: Mutex::default() }
    }
}

impl<T> Flights<T> {
    /// Joins the flight that makes the answer of a key, or begins one. `stamp` was taken just now.
    pub fn board(&self, key: &Key, stamp: &Stamp, versions: &Versions) -> Boarding<'_, T> {
        let mut open = self.open();
        if let Some(flight) = open.get(key)
            && versions.is_current(&flight.stamp)
        {
            return Boarding::Join(Joiner(flight.clone()));
        }
        // Without trust in the counts nobody could join.
        if open.len() >= MOST || !versions.is_current(stamp) {
            return Boarding::Walk;
        }
        let (landing, landed) = (OnceLock::new(), Notify::new());
        let flight = Arc::new(Flight { stamp: stamp.clone(), landing, landed });
        open.insert(key.clone(), flight.clone());
        Boarding::Make(Maker { flights: self, key: key.clone(), flight })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight<T>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Maker<'_, T> {
    /// The key that the answer is made for.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Ends the flight.
    pub fn land(self, landing: Landing<T>) {
        let _ = self.flight.landing.set(landing);
    }
}

impl<T> Drop for Maker<'_, T> {
    fn drop(&mut self) {
        let mut open = self.flights.open();
        // A later one may have taken its place, because something had changed.
        if open.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &self.flight)) {
            open.remove(&self.key);
        }
        drop(open);
        let _ = self.flight.landing.set(Landing::Lost);
        self.flight.landed.notify_waiters();
    }
}

impl<T> Joiner<T> {
    /// Waits until the flight has ended.
    pub async fn landing(self) -> Landing<T> {
        let mut landed = std::pin::pin!(self.0.landed.notified());
        // From here on nobody is missed.
        landed.as_mut().enable();
        if self.0.landing.get().is_none() {
            landed.await;
        }
        self.0.landing.get().cloned().unwrap_or(Landing::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Tables;
    use crate::database::versions::TableSet;

    fn key(text: &str) -> Key {
        let mut key = Key::default();
        key.push(text.as_bytes());
        key
    }

    fn table(versions: &Versions) -> TableSet {
        versions.tables(&Tables::Known(["a".to_string()].into()))
    }

    fn make<'f>(flights: &'f Flights<u32>, versions: &Versions, text: &str) -> Maker<'f, u32> {
        match flights.board(&key(text), &versions.current(&table(versions)), versions) {
            Boarding::Make(maker) => maker,
            other => panic!("{other:?}"),
        }
    }

    fn join(flights: &Flights<u32>, versions: &Versions, text: &str) -> Joiner<u32> {
        match flights.board(&key(text), &versions.current(&table(versions)), versions) {
            Boarding::Join(joiner) => joiner,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn those_who_join_get_what_is_made() {
        let (versions, flights) = (Versions::new(), Flights::default());
        let maker = make(&flights, &versions, "/");
        let joiners = [join(&flights, &versions, "/"), join(&flights, &versions, "/")];
        let other = make(&flights, &versions, "/other");
        let waits = joiners.map(|joiner| tokio::spawn(joiner.landing()));
        tokio::task::yield_now().await;
        maker.land(Landing::Shared(Arc::new(7)));
        for wait in waits {
            assert!(matches!(wait.await.unwrap(), Landing::Shared(value) if *value == 7));
        }
        other.land(Landing::Alone);
        assert!(flights.open().is_empty());
    }

    #[tokio::test]
    async fn a_maker_that_is_gone_leaves_its_place_to_the_next() {
        let (versions, flights) = (Versions::new(), Flights::default());
        let maker = make(&flights, &versions, "/");
        let early = tokio::spawn(join(&flights, &versions, "/").landing());
        let late = join(&flights, &versions, "/");
        tokio::task::yield_now().await;
        drop(maker);
        assert!(matches!(early.await.unwrap(), Landing::Lost));
        // Also one that begins to wait only now.
        assert!(matches!(late.landing().await, Landing::Lost));
        make(&flights, &versions, "/").land(Landing::Alone);
    }

    #[tokio::test]
    async fn nobody_joins_a_flight_that_began_before_a_change() {
        let (versions, flights) = (Versions::new(), Flights::default());
        let before = make(&flights, &versions, "/");
        let mark = versions.mark(&table(&versions));
        // The write isn't acknowledged yet.
        let joiner = join(&flights, &versions, "/");
        drop(mark);
        let after = make(&flights, &versions, "/");
        before.land(Landing::Shared(Arc::new(1)));
        assert!(matches!(joiner.landing().await, Landing::Shared(value) if *value == 1));
        // The end of the one before takes nothing from the one after.
        let joiner = join(&flights, &versions, "/");
        after.land(Landing::Shared(Arc::new(2)));
        assert!(matches!(joiner.landing().await, Landing::Shared(value) if *value == 2));
        versions.distrust();
        let stamp = versions.current(&table(&versions));
        assert!(matches!(flights.board(&key("/"), &stamp, &versions), Boarding::Walk));
    }

    #[test]
    fn their_number_is_bounded() {
        let (versions, flights) = (Versions::new(), Flights::<u32>::default());
        let makers: Vec<_> = (0..MOST).map(|number| make(&flights, &versions, &number.to_string())).collect();
        let stamp = versions.current(&table(&versions));
        assert!(matches!(flights.board(&key("more"), &stamp, &versions), Boarding::Walk));
        drop(makers);
        make(&flights, &versions, "more").land(Landing::Alone);
    }
}
