//! Threads: the only user of rayon.
//!
//! Three rules make results independent of the number of threads and safe under `fork`.
//!
//! * Work is cut into blocks by its shape, never by the number of threads, and [`Context::map`] returns
//!   the results in block order: whoever folds them does so in that order.
//! * Pools are private and keyed by (process id, threads). A forked child inherits a list of pools whose
//!   threads do not exist; their process id gives them away, so they are passed over and never dropped
//!   (dropping would join dead threads). The list only grows, by compare-and-swap: there is no lock that
//!   another thread could have held at the moment of the fork.
//! * The calling thread does no block itself while a pool works: it waits and looks after the host, so
//!   that Ctrl-C is noticed within [`TICK`] even inside a long parallel loop.
//!
//! Called from inside a pool, everything runs in sequence on the spot.

use crate::error::{Error, Result};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

/// How often the host is asked whether to stop.
pub const TICK: Duration = Duration::from_millis(50);

/// What the core asks of whoever called it.
pub trait Host {
    /// `Err(Error::Interrupted)` when the caller wants to stop.
    fn check(&self) -> Result<()>;
    /// Progress of a long call: `done` of `total` steps, and figures worth showing.
    fn progress(&self, done: usize, total: usize, figures: &[(&'static str, f64)]) -> Result<()>;
}

/// Number of threads and host of one call. Lives on the calling thread.
pub struct Context<'a> {
    threads: usize,
    host: Option<&'a dyn Host>,
    last_tick: Cell<Instant>,
}

impl<'a> Context<'a> {
    /// A context that uses `threads` threads (at least one) and answers to nobody.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), host: None, last_tick: Cell::new(Instant::now()) }
    }

    /// A context that uses `threads` threads and answers to `host`.
    pub fn with_host(threads: usize, host: &'a dyn Host) -> Self {
        Self { host: Some(host), ..Self::new(threads) }
    }

    /// Number of threads that [`Context::map`] uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Asks the host whether to stop, at most once every [`TICK`].
    pub fn tick(&self) -> Result<()> {
        match self.host {
            Some(host) if self.last_tick.get().elapsed() >= TICK => {
                self.last_tick.set(Instant::now());
                host.check()
            }
            _ => Ok(()),
        }
    }

    /// Reports progress to the host.
    pub fn progress(&self, done: usize, total: usize, figures: &[(&'static str, f64)]) -> Result<()> {
        self.tick()?;
        self.host.map_or(Ok(()), |host| host.progress(done, total, figures))
    }

    /// `work(0), …, work(blocks - 1)`, computed on the pool, in block order.
    pub fn map<T: Send>(&self, blocks: usize, work: impl Fn(usize) -> T + Sync) -> Result<Vec<T>> {
        self.map_with(blocks, || (), |(), block| work(block))
    }

    /// [`Context::map`] with a scratch value made once by each worker. The scratch must not carry
    /// anything from one block to the next.
    pub fn map_with<S, T: Send>(
        &self,
        blocks: usize,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize) -> T + Sync,
    ) -> Result<Vec<T>> {
        let workers = self.threads.min(blocks);
        if workers <= 1 || rayon::current_thread_index().is_some() {
            return self.map_in_sequence(blocks, scratch, work);
        }
        // Waiting below ticks only during long loops; a long row of short ones is heard here.
        self.tick()?;
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let slots: Vec<Mutex<Option<T>>> = (0..blocks).map(|_| Mutex::new(None)).collect();
        let outcome = pool(self.threads)?.in_place_scope(|scope| {
            let (sender, finished) = mpsc::channel::<()>();
            for _ in 0..workers {
                let sender = sender.clone();
                let (next, stop, slots, scratch, work) = (&next, &stop, &slots, &scratch, &work);
                scope.spawn(move |_| {
                    let _held_until_done = sender;
                    let mut scratch = scratch();
                    while !stop.load(Ordering::Relaxed) {
                        let block = next.fetch_add(1, Ordering::Relaxed);
                        if block >= slots.len() {
                            break;
                        }
                        let value = work(&mut scratch, block);
                        if let Ok(mut slot) = slots[block].lock() {
                            *slot = Some(value);
                        }
                    }
                });
            }
            drop(sender);
            self.wait(&finished, &stop)
        });
        outcome?;
        slots
            .into_iter()
            .map(|slot| slot.into_inner().ok().flatten())
            .collect::<Option<Vec<T>>>()
            .ok_or_else(|| Error::Internal("a worker ended before its blocks were done".into()))
    }

    /// Hands `work(0), …, work(blocks - 1)` to `add` in block order, at most `alive` of them, or two a thread, made
    /// ahead of it: for parts that would take too much memory all at once.
    pub fn fold_with<S, T: Send>(
        &self,
        blocks: usize,
        alive: usize,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize) -> Result<T> + Sync,
        mut add: impl FnMut(T),
    ) -> Result<()> {
        let wave = alive.max(2 * self.threads);
        for first in (0..blocks).step_by(wave) {
            let made =
                self.map_with(wave.min(blocks - first), &scratch, |scratch, i| work(scratch, first + i))?;
            for part in made {
                add(part?);
            }
        }
        Ok(())
    }

    /// `map` for work that gives nothing back.
    pub fn for_each(&self, blocks: usize, work: impl Fn(usize) + Sync) -> Result<()> {
        self.map(blocks, work).map(drop)
    }

    /// `work(scratch, i, part i)` for parts that are handed out by value: disjoint `&mut` pieces of one
    /// output, say.
    pub fn map_parts<S, P: Send, T: Send>(
        &self,
        parts: impl IntoIterator<Item = P>,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize, P) -> T + Sync,
    ) -> Result<Vec<T>> {
        let parts: Vec<Mutex<Option<P>>> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
        let outputs = self.map_with(parts.len(), scratch, |scratch, i| {
            let part = parts[i].lock().ok().and_then(|mut part| part.take())?;
            Some(work(scratch, i, part))
        })?;
        outputs
            .into_iter()
            .collect::<Option<Vec<T>>>()
            .ok_or_else(|| Error::Internal("a part was taken twice".into()))
    }

    fn map_in_sequence<S, T>(
        &self,
        blocks: usize,
        scratch: impl Fn() -> S,
        work: impl Fn(&mut S, usize) -> T,
    ) -> Result<Vec<T>> {
        let mut scratch = scratch();
        (0..blocks)
            .map(|block| {
                self.tick()?;
                Ok(work(&mut scratch, block))
            })
            .collect()
    }

    /// Waits until every worker has dropped its end of the channel, ticking meanwhile.
    fn wait(&self, finished: &mpsc::Receiver<()>, stop: &AtomicBool) -> Result<()> {
        let mut outcome = Ok(());
        while let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(TICK) {
            if outcome.is_ok() {
                outcome = self.tick();
                if outcome.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
        outcome
    }
}

struct Pool {
    process: u32,
    threads: usize,
    pool: rayon::ThreadPool,
    next: *const Pool,
}

static POOLS: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// The pool of this process with that many threads, built on first use and kept for good.
fn pool(threads: usize) -> Result<&'static rayon::ThreadPool> {
    let process = std::process::id();
    let mut node: *const Pool = POOLS.load(Ordering::Acquire);
    // SAFETY: every node comes from `Box::into_raw` below and is never freed or changed once published.
    while let Some(found) = unsafe { node.as_ref() } {
        if found.process == process && found.threads == threads {
            return Ok(&found.pool);
        }
        node = found.next;
    }
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("nearlin-{index}"))
        .build()
        .map_err(|error| Error::value("n_jobs", format!("{threads} ({error})"), "fewer threads"))?;
    let mut head = POOLS.load(Ordering::Acquire);
    let node = Box::into_raw(Box::new(Pool { process, threads, pool: built, next: head }));
    while let Err(current) = POOLS.compare_exchange(head, node, Ordering::AcqRel, Ordering::Acquire) {
        head = current;
        // SAFETY: `node` is not yet published, so this thread is its only user.
        unsafe { (*node).next = head };
    }
    // SAFETY: as above; the node was just published and lives for good.
    Ok(unsafe { &(*node).pool })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct StopAtOnce;
    impl Host for StopAtOnce {
        fn check(&self) -> Result<()> {
            Err(Error::Interrupted)
        }
        fn progress(&self, _: usize, _: usize, _: &[(&'static str, f64)]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn map_keeps_block_order_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let squares = Context::new(threads).map(1000, |i| i * i).unwrap();
            assert!(squares.iter().enumerate().all(|(i, &s)| s == i * i));
        }
    }

    #[test]
    fn parts_are_added_in_order_a_few_at_a_time() {
        for threads in [1, 2, 3] {
            let (alive, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut seen = Vec::new();
            let work = |_: &mut (), block| {
                most.fetch_max(1 + alive.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                Ok(block)
            };
            let add = |block| {
                alive.fetch_sub(1, Ordering::Relaxed);
                seen.push(block);
            };
            Context::new(threads).fold_with(100, 1, || (), work, add).unwrap();
            assert!(seen.iter().copied().eq(0..100));
            assert!(most.into_inner() <= 2 * threads);
        }
    }

    #[test]
    fn nested_calls_run_in_sequence() {
        let context = Context::new(2);
        let sums = context
            .map(4, |i| Context::new(2).map(10, move |j| i * j).unwrap().iter().sum::<usize>())
            .unwrap();
        assert_eq!(sums, vec![0, 45, 90, 135]);
    }

    #[test]
    fn an_interrupt_ends_a_long_loop() {
        for threads in [1, 2] {
            let start = Instant::now();
            let outcome = Context::with_host(threads, &StopAtOnce)
                .for_each(10_000, |_| std::thread::sleep(Duration::from_millis(1)));
            assert_eq!(outcome, Err(Error::Interrupted));
            assert!(start.elapsed() < Duration::from_secs(2));
        }
    }

    #[test]
    fn an_interrupt_ends_a_long_row_of_short_loops() {
        for threads in [1, 2] {
            let context = Context::with_host(threads, &StopAtOnce);
            let mut loops = (0..1000).map(|_| context.for_each(2, |_| std::thread::sleep(TICK / 10)));
            assert!(loops.any(|outcome| outcome == Err(Error::Interrupted)));
        }
    }

    #[test]
    fn a_panic_in_a_block_reaches_the_caller() {
        let caught = std::panic::catch_unwind(|| Context::new(2).for_each(8, |i| assert_ne!(i, 5)));
        assert!(caught.is_err());
    }
}
