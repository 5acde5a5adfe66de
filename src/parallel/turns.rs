//! Parts that wait for those before them.

use crate::error::{Error, Result};
use crate::memory::collected;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands what blocks give to `add`, in block order. Blocks are taken in that order too, so that the one whose turn it is
/// never waits.
pub(super) struct Turns<'a, T> {
    alive: usize,
    line: Mutex<Line<T>>,
    moved: Condvar,
    add: Mutex<&'a mut (dyn FnMut(T) + Send)>,
}

struct Line<T> {
    /// The block whose turn it is.
    turn: usize,
    /// By number of the block modulo `alive`: those that are done before their turn.
    done: Vec<Option<Result<T>>>,
    /// Some thread adds the part whose turn it was.
    adding: bool,
    /// The first error, or that all is over because of a panic: nothing is made or added any more.
    outcome: Result<()>,
}

impl<'a, T> Turns<'a, T> {
    /// For at most so many parts that exist at once.
    pub fn new(alive: usize, add: &'a mut (dyn FnMut(T) + Send)) -> Result<Self> {
        let done = collected((0..alive).map(|_| None), "parts that wait for their turn")?;
        let line = Mutex::new(Line { turn: 0, done, adding: false, outcome: Ok(()) });
        Ok(Self { alive, line, moved: Condvar::new(), add: Mutex::new(add) })
    }

    /// Makes the part of a block as soon as there may be one more, and adds it as soon as it is its turn.
    pub fn take(&self, block: usize, make: &mut dyn FnMut() -> Result<T>) {
        let _alarm = Alarm(self);
        let line = self.line();
        let may_begin =
            self.moved.wait_while(line, |line| line.outcome.is_ok() && line.turn + self.alive <= block);
        if may_begin.is_ok_and(|line| line.outcome.is_ok()) {
            let part = make();
            self.line().done[block % self.alive] = Some(part);
            self.advance();
        }
    }

    /// Adds the parts whose turn it is, unless another thread is at it and will see them.
    fn advance(&self) {
        loop {
            let mut line = self.line();
            let slot = line.turn % self.alive;
            let Some(part) = (!line.adding).then(|| line.done[slot].take()).flatten() else { return };
            line.adding = true;
            let over = line.outcome.is_err();
            drop(line);
            let outcome = match (part, self.add.lock()) {
                (Ok(part), Ok(mut add)) if !over => {
                    add(part);
                    Ok(())
                }
                (part, _) => part.map(drop),
            };
            let mut line = self.line();
            line.adding = false;
            line.turn += 1;
            if line.outcome.is_ok() {
                line.outcome = outcome;
            }
            drop(line);
            self.moved.notify_all();
        }
    }

    /// What became of it all.
    pub fn outcome(self) -> Result<()> {
        self.line.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes those who wait for a part that will never come.
struct Alarm<'t, 'a, T>(&'t Turns<'a, T>);

impl<T> Drop for Alarm<'_, '_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.line().outcome = Err(Error::Internal("a block panicked".into()));
            self.0.moved.notify_all();
        }
    }
}
