//! The threads of this process: as many as the most that a call asked for, made when they are first needed and kept.
//!
//! A forked child inherits a pool whose threads do not exist, with locks that may be held for good. Its process id gives
//! it away: it is left alone, and the child makes one of its own. There is no lock on the way to the pool.

use super::float_mode::set_standard;
use crate::error::{Error, Result};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// What one worker does for one call. It does not panic.
pub(super) type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Pool {
    process: u32,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    workers: usize,
}

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is one of a pool.
pub(super) fn is_worker() -> bool {
    IS_WORKER.get()
}

/// The pool of this process.
pub(super) fn pool() -> &'static Pool {
    let process = std::process::id();
    let mut found = POOL.load(Ordering::Acquire);
    loop {
        // SAFETY: what is published comes from `Box::into_raw` below, and is never freed.
        match unsafe { found.as_ref() } {
            Some(pool) if pool.process == process => return pool,
            _ => {}
        }
        let made =
            Box::into_raw(Box::new(Pool { process, queue: Mutex::default(), arrived: Condvar::new() }));
        match POOL.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => return unsafe { &*made },
            Err(current) => {
                // SAFETY: `made` was not published, so it is this thread's alone.
                drop(unsafe { Box::from_raw(made) });
                found = current;
            }
        }
    }
}

impl Pool {
    /// Sees to it that there are that many threads.
    pub fn grow(&'static self, threads: usize) -> Result<()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.workers < threads {
            spawn(format!("nearlin-{}", queue.workers), || {
                IS_WORKER.set(true);
                self.work();
            })?;
            queue.workers += 1;
        }
        Ok(())
    }

    /// Hands jobs to the threads, all of them or, short of memory, none.
    pub fn start(&self, jobs: impl ExactSizeIterator<Item = Job>) -> Result<()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = jobs.len() as u128 * size_of::<Job>() as u128;
        let failed = |_| Error::Allocation { bytes, purpose: "a queue of jobs" };
        queue.jobs.try_reserve(jobs.len()).map_err(failed)?;
        for job in jobs {
            queue.jobs.push_back(job);
            self.arrived.notify_one();
        }
        Ok(())
    }

    fn work(&self) {
        loop {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let job = loop {
                match queue.jobs.pop_front() {
                    Some(job) => break job,
                    None => queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            job();
        }
    }

    #[cfg(test)]
    pub fn workers(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).workers
    }
}

/// A new thread, which rounds as ours do.
pub(super) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = std::thread::Builder::new().name(name).stack_size(STACK).spawn(|| {
        set_standard();
        work();
    });
    let failed = |_| Error::Allocation { bytes: STACK as u128, purpose: "the stack of a thread" };
    started.map(drop).map_err(failed)
}

/// Bytes of a worker's stack, as the standard library has it.
const STACK: usize = 2 << 20;
