//! Does the same to many things, on all cores at once.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// So few things that a thread costs more than it saves.
const FEW: usize = 128;

/// What `work` gives for each stretch of the items, in their order, as one list.
pub fn stretches<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(items.len() / FEW);
    if threads < 2 {
        return work(items);
    }
    let mut stretches = items.chunks(items.len().div_ceil(threads));
    let own = stretches.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = stretches
            .map(|stretch| {
                let (work, builder) = (&work, thread::Builder::new().name("parallel".into()));
                // Without a thread to spare the work is done here.
                builder.spawn_scoped(scope, move || work(stretch)).map_err(|_| stretch)
            })
            .collect();
        let mut done = work(own);
        for other in others {
            match other {
                Ok(thread) => done.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic))),
                Err(stretch) => done.extend(work(stretch)),
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for many in [0, 1, FEW - 1, 2 * FEW, 5 * FEW + 3, 1000] {
            let items: Vec<usize> = (0..many).collect();
            // Some items give nothing, others more than one.
            let work = |stretch: &[usize]| stretch.iter().flat_map(|item| vec![*item; item % 3]).collect();
            assert_eq!(stretches(&items, work), work(&items), "{many}");
        }
    }

    #[test]
    fn a_panic_goes_on() {
        let items: Vec<usize> = (0..10 * FEW).collect();
        let work = |stretch: &[usize]| match stretch.last() {
            Some(last) if *last == 10 * FEW - 1 => panic!("the last one"),
            _ => stretch.to_vec(),
        };
        assert!(std::panic::catch_unwind(|| stretches(&items, work)).is_err());
    }
}
