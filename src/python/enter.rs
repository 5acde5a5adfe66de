//! The one door from Python into the core.

use crate::error::{Error, Result, catch_panic};
use crate::parallel::{Context, Host, Kept, Pending, standard_rounding};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Runs `work` detached from the interpreter, with `threads` threads.
///
/// Whatever Python raises meanwhile, from a signal handler or from `progress`, ends the work and is
/// raised here, even if the work itself came to an end. A panic becomes an `InternalError`. What `progress` is told never
/// goes back, and ends with all steps done.
pub fn enter<T: Send>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Context) -> Result<T> + Send,
) -> PyResult<T> {
    let caller = Caller { progress, told: Mutex::new(None), raised: OnceLock::new() };
    let work = || {
        let found = work(&Context::with_host(threads, &caller))?;
        caller.finish()?;
        Ok(found)
    };
    let outcome = py.detach(|| standard_rounding(|| catch_panic(work)));
    match caller.raised.into_inner() {
        Some(raised) => Err(raised),
        None => outcome.map_err(PyErr::from),
    }
}

/// [`enter`] for work that ends with a change to a state: what a signal handler raises up to the moment when all can see
/// the change leaves the state as it was.
pub fn enter_and_commit<'k, T: Send + Sync + 'k>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Context) -> Result<Option<Pending<'k, T>>> + Send,
) -> PyResult<()> {
    let Some(pending) = enter(py, threads, progress, work)? else { return Ok(()) };
    py.check_signals()?;
    Ok(pending.commit()?)
}

/// A copy of what a state was last.
pub fn snapshot<T: Send + Sync>(py: Python<'_>, kept: &Kept<T>) -> PyResult<std::sync::Arc<T>> {
    enter(py, 1, None, |context| kept.read(context))
}

/// The Python side of a call, as the core sees it.
struct Caller {
    /// Called with (done, total, figures).
    progress: Option<Py<PyAny>>,
    /// What it was last called with.
    told: Mutex<Option<Told>>,
    /// The first exception that a signal handler or `progress` raised.
    raised: OnceLock<PyErr>,
}

struct Told {
    done: usize,
    total: usize,
    figures: Py<PyDict>,
}

impl Caller {
    fn ask(&self, question: impl FnOnce(Python<'_>) -> PyResult<()>) -> Result<()> {
        if self.raised.get().is_some() {
            return Err(Error::Interrupted);
        }
        Python::attach(question).map_err(|raised| {
            // Only the calling thread asks, so the cell is still empty.
            let _ = self.raised.set(raised);
            Error::Interrupted
        })
    }

    /// Tells of all steps as done: those that are left were not needed. Of work that told of none there is more to come.
    fn finish(&self) -> Result<()> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (&self.progress, told) {
            (Some(callback), Some(Told { done, total, figures })) if 0 < done && done < total => {
                self.ask(|py| callback.call1(py, (total, total, figures)).map(drop))
            }
            _ => Ok(()),
        }
    }
}

impl Host for Caller {
    fn check(&self) -> Result<()> {
        self.ask(|py| py.check_signals())
    }

    fn progress(&self, done: usize, total: usize, figures: &[(&'static str, f64)]) -> Result<()> {
        let Some(callback) = &self.progress else { return Ok(()) };
        self.ask(|py| {
            let dict = PyDict::new(py);
            for (name, value) in figures {
                dict.set_item(name, value)?;
            }
            // The steps in all are the most that there may be: another method, or an early end, makes no bar go back.
            let (done, total) = {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                let (before, most) = told.as_ref().map_or((0, 0), |told| (told.done, told.total));
                let (done, total) = (done.max(before), total.max(most));
                *told = Some(Told { done, total, figures: dict.clone().unbind() });
                (done, total)
            };
            callback.call1(py, (done, total, dict)).map(drop)
        })
    }
}
