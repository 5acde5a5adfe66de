//! Threads, and how a call ends before its time.
//!
//! Three rules make results independent of the number of threads and safe under `fork`.
//!
//! * Work is cut into blocks by its shape, never by the number of threads unless no bit depends on the cuts, and
//!   [`Context::map`] returns the results in block order: whoever folds them does so in that order.
//! * A process has one pool of threads, private, which grows to the most that a call asked for. A forked child makes its
//!   own, and a call that a signal handler forks in the middle of ends in the child with [`Error::Busy`].
//! * The calling thread does no block itself while a pool works: it waits and looks after the host, so
//!   that Ctrl-C is noticed within [`TICK`] even inside a long parallel loop. Long work that cannot be cut into blocks has
//!   a thread to itself ([`Context::apart`]), for the same reason.
//!
//! Called from inside the pool, everything runs in sequence on the spot. Files: `pool` (the threads), `float_mode` (how
//! they round), `kept` (states that threads share), `turns` (parts that wait for those before them).

mod float_mode;
mod kept;
mod pool;
mod turns;

pub use float_mode::standard_rounding;
pub use kept::{Kept, Pending};

use crate::error::{Error, Result};
use crate::memory::{collected, gathered};
use pool::{Job, is_worker, pool};
use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use turns::Turns;

/// How often the host is asked whether to stop.
pub const TICK: Duration = Duration::from_millis(50);

/// Steps of a serial loop between two looks at the clock.
const PIECE: usize = 1 << 16;

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
            Some(_) if self.last_tick.get().elapsed() >= TICK => self.check(),
            _ => Ok(()),
        }
    }

    /// Asks the host whether to stop, now.
    pub fn check(&self) -> Result<()> {
        self.last_tick.set(Instant::now());
        self.host.map_or(Ok(()), Host::check)
    }

    /// A range in pieces, for serial work as long as the caller's data: an interrupt is heard before each.
    pub fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = Result<Range<usize>>> + '_ {
        let end = range.end;
        range.step_by(PIECE).map(move |start| self.tick().map(|()| start..end.min(start + PIECE)))
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
        let slots = slots((0..blocks).map(|_| None))?;
        let worker = |hand_out: &mut HandOut<'_>| {
            let mut scratch = scratch();
            while let Some(block) = hand_out() {
                let value = work(&mut scratch, block);
                if let Ok(mut slot) = slots[block].lock() {
                    *slot = Some(value);
                }
            }
        };
        let outcome = self.share_out(blocks, &worker);
        if matches!(outcome, Err(Error::Busy(_))) {
            // Workers that do not exist may have left a slot half-written.
            std::mem::forget(slots);
            return Err(FORKED);
        }
        outcome?;
        contents(slots)
    }

    /// Hands `work(0), …, work(blocks - 1)` to `add` in block order, each as soon as it is its turn: for parts that would
    /// take too much memory all at once. At most two a thread are alive.
    pub fn fold_with<S, T: Send>(
        &self,
        blocks: usize,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize) -> Result<T> + Sync,
        mut add: impl FnMut(T) + Send,
    ) -> Result<()> {
        let workers = self.threads.min(blocks);
        if workers <= 1 || is_worker() {
            let mut scratch = scratch();
            return (0..blocks).try_for_each(|block| {
                self.tick()?;
                add(work(&mut scratch, block)?);
                Ok(())
            });
        }
        let turns = Turns::new(2 * workers, &mut add)?;
        let outcome = self.map_with(blocks, scratch, |scratch, block| {
            turns.take(block, &mut || work(scratch, block));
        });
        match outcome {
            Err(Error::Busy(_)) => {
                // As in `map_with`.
                std::mem::forget(turns);
                Err(FORKED)
            }
            outcome => outcome.and_then(|_| turns.outcome()),
        }
    }

    /// Hands out the numbers of blocks, in order, to a worker here or to several on the pool.
    fn share_out(&self, blocks: usize, worker: &(dyn Fn(&mut HandOut<'_>) + Sync)) -> Result<()> {
        let workers = self.threads.min(blocks);
        if workers <= 1 || is_worker() {
            let (mut left, mut outcome) = (0..blocks, Ok(()));
            worker(&mut || {
                let block = left.next()?;
                outcome = self.tick();
                outcome.is_ok().then_some(block)
            });
            return outcome;
        }
        // Waiting below ticks only during long loops; a long row of short ones is heard here.
        self.tick()?;
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let body = || {
            worker(&mut || {
                let block = (!stop.load(Ordering::Relaxed)).then(|| next.fetch_add(1, Ordering::Relaxed));
                block.filter(|&block| block < blocks)
            });
        };
        self.on_workers(workers, &body, &stop)
    }

    /// `body` on so many workers at once, until all have returned. A panic in it goes on here.
    fn on_workers(&self, workers: usize, body: &(dyn Fn() + Sync), stop: &AtomicBool) -> Result<()> {
        let pool = pool();
        pool.grow(workers)?;
        let (sender, finished) = mpsc::channel();
        let mut running = Running { finished: Some(finished), left: workers, process: std::process::id() };
        // SAFETY: `running` is not dropped before every job has sent what became of it, which is the last thing that a
        // job does, or its worker has ceased to exist. So no job uses `body` longer than it lives.
        let body = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(body) };
        let jobs = (0..workers).map(|_| {
            let sender = sender.clone();
            let job: Job = Box::new(move || {
                // There is no receiver only after a fork, and then no worker either.
                let _ = sender.send(catch_unwind(AssertUnwindSafe(body)));
            });
            job
        });
        pool.start(jobs).inspect_err(|_| running.left = 0)?;
        let mut outcome = Ok(());
        let mut panic = None;
        while running.left > 0 {
            if let Some(ended) = running.wait()? {
                panic = panic.or(ended.err());
            } else if outcome.is_ok() {
                outcome = self.tick();
            }
            if outcome.is_err() || panic.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        panic.map_or(outcome, |payload| resume_unwind(payload))
    }

    /// `work(scratch, i, part i)` for parts that are handed out by value: disjoint `&mut` pieces of one
    /// output, say.
    pub fn map_parts<S, P: Send, T: Send>(
        &self,
        parts: impl IntoIterator<Item = P>,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, usize, P) -> T + Sync,
    ) -> Result<Vec<T>> {
        let parts = slots(parts.into_iter().map(Some))?;
        let outputs = self.map_with(parts.len(), scratch, |scratch, i| {
            let part = parts[i].lock().ok().and_then(|mut part| part.take());
            part.map(|part| work(scratch, i, part))
        })?;
        contents(slots(outputs)?)
    }

    /// `work()`, of about so many flops: if they take long, on a thread of its own while this one looks after the host, so
    /// that an interrupt is heard in the middle of it. What is interrupted comes to its end alone, and nobody sees it.
    pub fn apart<T: Send + 'static>(
        &self,
        flops: f64,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        /// A good part of a second.
        const MANY: f64 = 1e9;
        if flops < MANY || self.host.is_none() || is_worker() {
            return work();
        }
        self.check()?;
        let (sender, finished) = mpsc::channel();
        pool::spawn("nearlin-apart".into(), move || {
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        })?;
        let process = std::process::id();
        loop {
            match finished.recv_timeout(TICK) {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(payload)) => resume_unwind(payload),
                Err(_) => self.check()?,
            }
            if std::process::id() != process {
                // As in `Running::wait`.
                std::mem::forget(finished);
                return Err(FORKED);
            }
        }
    }
}

/// Where each of several threads puts something, or takes it from.
fn slots<T>(values: impl IntoIterator<Item = Option<T>>) -> Result<Vec<Mutex<Option<T>>>> {
    collected(values.into_iter().map(Mutex::new), RESULTS)
}

/// What is in all of them.
fn contents<T>(slots: Vec<Mutex<Option<T>>>) -> Result<Vec<T>> {
    let undone = || Error::Internal("a worker ended before its blocks were done".into());
    let content = |slot: Mutex<Option<T>>| slot.into_inner().ok().flatten().ok_or_else(undone);
    gathered(slots.into_iter().map(content), RESULTS)
}

/// What memory is for.
const RESULTS: &str = "the results of blocks";

/// Gives the next block to work on, as long as there is one.
type HandOut<'a> = dyn FnMut() -> Option<usize> + 'a;

/// What became of a job.
type Ended = std::result::Result<(), Box<dyn Any + Send>>;

/// What a call in a child says that was forked in the middle of it.
const FORKED: Error =
    Error::Busy("the process was forked in the middle of this call, which ends here in the child");

/// The jobs of one call.
struct Running {
    finished: Option<mpsc::Receiver<Ended>>,
    left: usize,
    process: u32,
}

impl Running {
    /// What became of one more job; None if nothing did for the time of a tick. An error in a forked child.
    fn wait(&mut self) -> Result<Option<Ended>> {
        if std::process::id() != self.process {
            // The channel may be locked by a worker that does not exist.
            std::mem::forget(self.finished.take());
            self.left = 0;
        }
        let finished = self.finished.as_ref().ok_or(FORKED)?;
        match finished.recv_timeout(TICK) {
            Ok(ended) => {
                self.left -= 1;
                Ok(Some(ended))
            }
            Err(_) => Ok(None),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        while self.left > 0 && self.wait().is_ok() {}
    }
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

    struct StopAfter(Instant);
    impl Host for StopAfter {
        fn check(&self) -> Result<()> {
            if Instant::now() < self.0 { Ok(()) } else { Err(Error::Interrupted) }
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
            Context::new(threads).fold_with(100, || (), work, add).unwrap();
            assert!(seen.iter().copied().eq(0..100));
            assert!(most.into_inner() <= 2 * threads);
        }
    }

    #[test]
    fn a_fold_ends_with_the_first_error_and_with_any_panic() {
        for threads in [1, 2, 3] {
            let mut seen = 0;
            let work = |_: &mut (), block| match block {
                7.. => Err(Error::value("block", block, "below 7")),
                _ => Ok(block),
            };
            let outcome = Context::new(threads).fold_with(100, || (), work, |_| seen += 1);
            assert_eq!((outcome, seen), (Err(Error::value("block", 7, "below 7")), 7));
            for (bad_work, bad_add) in [(20, 100), (100, 20)] {
                let caught = catch_unwind(|| {
                    let work = |_: &mut (), block| {
                        assert_ne!(block, bad_work);
                        Ok(block)
                    };
                    Context::new(threads).fold_with(100, || (), work, |block| assert_ne!(block, bad_add))
                });
                assert!(caught.is_err());
            }
            let stopped = Context::with_host(threads, &StopAtOnce);
            let slow = |_: &mut (), _| {
                std::thread::sleep(Duration::from_millis(1));
                Ok(())
            };
            assert_eq!(stopped.fold_with(10_000, || (), slow, drop), Err(Error::Interrupted));
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
                .map(10_000, |_| std::thread::sleep(Duration::from_millis(1)));
            assert_eq!(outcome, Err(Error::Interrupted));
            assert!(start.elapsed() < Duration::from_secs(2));
        }
    }

    #[test]
    fn an_interrupt_ends_a_long_row_of_short_loops() {
        for threads in [1, 2] {
            let context = Context::with_host(threads, &StopAtOnce);
            let mut loops = (0..1000).map(|_| context.map(2, |_| std::thread::sleep(TICK / 10)));
            assert!(loops.any(|outcome| outcome == Err(Error::Interrupted)));
        }
    }

    #[test]
    fn an_interrupt_is_heard_in_the_middle_of_what_has_no_blocks() {
        let start = Instant::now();
        let long = || {
            std::thread::sleep(Duration::from_secs(4));
            Ok(())
        };
        let host = StopAfter(start + Duration::from_millis(200));
        assert_eq!(Context::with_host(1, &host).apart(f64::INFINITY, long), Err(Error::Interrupted));
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn what_has_no_blocks_ends_as_it_would_in_place() {
        let patient = StopAfter(Instant::now() + Duration::from_secs(1000));
        for context in [Context::with_host(1, &patient), Context::new(1)] {
            let short = TICK * 3;
            let slow = move || {
                std::thread::sleep(short);
                Ok(7)
            };
            assert_eq!(context.apart(f64::INFINITY, slow), Ok(7));
            assert_eq!(context.apart::<()>(f64::INFINITY, || Err(FORKED)), Err(FORKED));
            let panics = || context.apart::<()>(f64::INFINITY, || panic!("half-way"));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        }
    }

    #[test]
    fn pieces_are_the_range_and_hear_an_interrupt() {
        let range = 5..5 + 3 * PIECE + 1;
        let pieces = Context::new(1).pieces(range.clone()).collect::<Result<Vec<_>>>().unwrap();
        assert_eq!(pieces.len(), 4);
        assert!(pieces.into_iter().flatten().eq(range));
        let stopped = Context::with_host(1, &StopAtOnce);
        std::thread::sleep(TICK);
        assert_eq!(stopped.pieces(0..1).next(), Some(Err(Error::Interrupted)));
    }

    #[test]
    fn there_are_as_many_threads_as_the_most_that_were_asked_for() {
        for threads in 2..=20 {
            Context::new(threads).map(1000, |_| ()).unwrap();
        }
        // Other tests share the pool, none of which asks for more.
        assert_eq!(pool().workers(), 20);
    }

    #[test]
    fn a_panic_in_a_block_reaches_the_caller() {
        let caught = std::panic::catch_unwind(|| Context::new(2).map(8, |i| assert_ne!(i, 5)));
        assert!(caught.is_err());
    }
}
