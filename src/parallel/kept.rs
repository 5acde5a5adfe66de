//! A state that threads share: one changes it at a time, and all read what was last committed.
//!
//! A change is made to a copy and committed by the exchange of a pointer, so that a reader never waits for it, not even a
//! signal handler on the thread that is in the middle of it. Small changes are made in place, if nobody is reading, with
//! nothing between their beginning and their end that could call back.
//!
//! Whoever holds something is known by process and thread: what a thread held that a fork has left behind is taken from
//! it, unless it was changing the state in place.

use super::Context;
use crate::error::{Error, Result};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A state and what guards it.
pub struct Kept<T> {
    /// Who is changing it: process and thread, or nobody.
    turn: AtomicU64,
    /// Who holds the pointer, never for long: process and what for, or nobody.
    hold: AtomicU64,
    /// From `Arc::into_raw`.
    committed: AtomicPtr<T>,
    /// How often it was changed; more only while it is held.
    changes: AtomicU64,
    owned: PhantomData<Arc<T>>,
}

const NOBODY: u64 = 0;
/// The pointer is read or exchanged.
const POINTER: u32 = 1;
/// What it points to is changed.
const CONTENT: u32 = 2;
/// A change in place ended with a panic.
const SPOILT: u64 = u64::MAX;

/// This process, and something in it.
fn mine(what: u32) -> u64 {
    u64::from(std::process::id()) << 32 | u64::from(what)
}

/// A number of this thread, in this process and those forked from it.
fn this_thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static NUMBER: u32 = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

/// Sets `word`, once it is that of nobody in this process; `refused` says of whom there is no waiting.
fn take(word: &AtomicU64, new: u64, context: &Context, refused: impl Fn(u64) -> Result<()>) -> Result<()> {
    let mut free = NOBODY;
    while let Err(found) = word.compare_exchange(free, new, Ordering::AcqRel, Ordering::Acquire) {
        refused(found)?;
        free = NOBODY;
        if found >> 32 != new >> 32 {
            free = found;
        } else {
            context.tick()?;
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    Ok(())
}

impl<T> Kept<T> {
    /// A state that nobody uses yet.
    pub fn new(state: T) -> Self {
        let committed = AtomicPtr::new(Arc::into_raw(Arc::new(state)).cast_mut());
        Self {
            turn: AtomicU64::new(NOBODY),
            hold: AtomicU64::new(NOBODY),
            committed,
            changes: AtomicU64::new(0),
            owned: PhantomData,
        }
    }

    /// How often the state was changed: what was read of it after this number was is good as long as it is the same.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn count_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The state as it was last committed.
    pub fn read(&self, context: &Context) -> Result<Arc<T>> {
        let _held = self.hold(POINTER, context)?;
        let committed = self.committed.load(Ordering::Acquire);
        // SAFETY: `committed` is from `Arc::into_raw`, and nobody exchanges it while it is held.
        Ok(unsafe {
            Arc::increment_strong_count(committed);
            Arc::from_raw(committed)
        })
    }

    /// Changes the state: by `in_place` if it is `short` and nobody reads it, else to what `anew` makes of it, which
    /// remains to be committed. An error of `in_place` leaves the state as it was.
    pub fn change(
        &self,
        context: &Context,
        short: impl FnOnce(&T) -> bool,
        in_place: impl FnOnce(&mut T) -> Result<()>,
        anew: impl FnOnce(&T) -> Result<T>,
    ) -> Result<Option<Pending<'_, T>>> {
        let turn = self.turn(context)?;
        if short(&*self.read(context)?) {
            context.check()?;
            let _held = self.hold(CONTENT, context)?;
            let committed = self.committed.load(Ordering::Acquire);
            // SAFETY: as in `read`; the count that this takes over is the state's own, and is given back by `forget`.
            let mut state = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(committed) });
            if let Some(state) = Arc::get_mut(&mut state) {
                self.count_change();
                return in_place(state).map(|()| None);
            }
        }
        let state = anew(&*self.read(context)?)?;
        Ok(Some(Pending { turn, state: Arc::new(state) }))
    }

    /// Changes the state by what `plan` works out, which takes as long as it takes: `apply` makes the change in a moment,
    /// in place if nobody reads the state, else in a copy, which remains to be committed. An error of either leaves the
    /// state as it was.
    pub fn change_as_planned<P>(
        &self,
        context: &Context,
        plan: impl FnOnce(&T) -> Result<P>,
        apply: impl FnOnce(&mut T, P) -> Result<()>,
        copy: impl FnOnce(&T) -> Result<T>,
    ) -> Result<Option<Pending<'_, T>>> {
        let turn = self.turn(context)?;
        let planned = plan(&*self.read(context)?)?;
        context.check()?;
        let held = self.hold(CONTENT, context)?;
        let committed = self.committed.load(Ordering::Acquire);
        // SAFETY: as in `change`.
        let mut state = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(committed) });
        if let Some(state) = Arc::get_mut(&mut state) {
            self.count_change();
            return apply(state, planned).map(|()| None);
        }
        drop(held);
        let mut state = copy(&*self.read(context)?)?;
        apply(&mut state, planned)?;
        Ok(Some(Pending { turn, state: Arc::new(state) }))
    }

    fn turn(&self, context: &Context) -> Result<Turn<'_, T>> {
        let mine = mine(this_thread());
        take(&self.turn, mine, context, |found| if found == mine { Err(REENTERED) } else { Ok(()) })?;
        Ok(Turn { kept: self, mine })
    }

    fn hold(&self, what: u32, context: &Context) -> Result<Held<'_>> {
        let new = mine(what);
        take(&self.hold, new, context, |found| match found {
            SPOILT => Err(Error::Busy("a call that changed the object failed half-way")),
            _ if found >> 32 != new >> 32 && found as u32 == CONTENT => Err(Error::Busy(
                "another thread was changing the object when this process was forked from its parent",
            )),
            _ => Ok(()),
        })?;
        Ok(Held { word: &self.hold, what })
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        // SAFETY: from `Arc::into_raw`, and this is the end of the count that was kept with it.
        drop(unsafe { Arc::from_raw(*self.committed.get_mut()) });
    }
}

const REENTERED: Error = Error::Busy(
    "the object is being changed by this very thread: this call was made from a signal handler or a callback in the \
     middle of it",
);

/// The right to change a state.
struct Turn<'k, T> {
    kept: &'k Kept<T>,
    mine: u64,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // Somebody in a forked child may have taken it over.
        let _ = self.kept.turn.compare_exchange(self.mine, NOBODY, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// A change that nobody sees yet; dropped, it has never been.
pub struct Pending<'k, T> {
    turn: Turn<'k, T>,
    state: Arc<T>,
}

impl<T> Pending<'_, T> {
    /// Lets everybody see the new state, at once.
    pub fn commit(self) -> Result<()> {
        let kept = self.turn.kept;
        if kept.turn.load(Ordering::Acquire) != self.turn.mine {
            return Err(Error::Busy(
                "another call changed the object in this forked process, in the middle of this one",
            ));
        }
        let former = {
            let _held = kept.hold(POINTER, &Context::new(1))?;
            kept.count_change();
            kept.committed.swap(Arc::into_raw(self.state).cast_mut(), Ordering::AcqRel)
        };
        // SAFETY: from `Arc::into_raw`; the count that was kept with it ends here.
        drop(unsafe { Arc::from_raw(former) });
        Ok(())
    }
}

struct Held<'k> {
    word: &'k AtomicU64,
    what: u32,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let spoilt = self.what == CONTENT && std::thread::panicking();
        self.word.store(if spoilt { SPOILT } else { NOBODY }, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(kept: &Kept<u64>, number: u64, short: bool) -> Result<()> {
        let context = Context::new(1);
        let in_place = |state: &mut u64| {
            *state += number;
            Ok(())
        };
        let pending = kept.change(&context, |_| short, in_place, |state| Ok(state + number))?;
        pending.map_or(Ok(()), Pending::commit)
    }

    #[test]
    fn changes_by_many_threads_are_all_in_and_readers_see_whole_ones() {
        let kept = Kept::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let kept = &kept;
                scope.spawn(move || {
                    for k in 0..500 {
                        add(kept, 2, (thread + k) % 2 == 0).unwrap();
                        assert_eq!(*kept.read(&Context::new(1)).unwrap() % 2, 0);
                    }
                });
            }
        });
        assert_eq!(*kept.read(&Context::new(1)).unwrap(), 4000);
    }

    #[test]
    fn what_is_read_stays_as_it_was_and_a_dropped_change_has_never_been() {
        let kept = Kept::new(1);
        let context = Context::new(1);
        let read = kept.read(&context).unwrap();
        add(&kept, 1, true).unwrap();
        drop(kept.change(&context, |_| false, |_| Ok(()), |_| Ok(70)).unwrap());
        assert_eq!((*read, *kept.read(&context).unwrap()), (1, 2));
        assert_eq!(kept.changes(), 1);
        add(&kept, 1, false).unwrap();
        assert_eq!(kept.changes(), 2);
    }

    #[test]
    fn a_planned_change_is_made_in_place_unless_somebody_reads() {
        let (kept, context) = (Kept::new(1), Context::new(1));
        let add = |number: u64| {
            let apply = |state: &mut u64, number: u64| {
                *state += number;
                Ok(())
            };
            kept.change_as_planned(&context, |state| Ok(number * state), apply, |state| Ok(*state))
        };
        assert!(add(2).unwrap().is_none());
        let read = kept.read(&context).unwrap();
        let pending = add(1).unwrap().unwrap();
        assert_eq!(*kept.read(&context).unwrap(), 3);
        pending.commit().unwrap();
        assert_eq!((*read, *kept.read(&context).unwrap()), (3, 6));
        drop(read);
        add(1).unwrap();
        assert!(
            kept.change_as_planned(&context, |_| Ok(7), |_, _| Err(Error::Interrupted), |state| Ok(*state))
                .is_err()
        );
        assert_eq!(*kept.read(&context).unwrap(), 12);
    }

    #[test]
    fn a_change_within_a_change_is_refused_and_a_look_sees_the_last_state() {
        let kept = Kept::new(1);
        let context = Context::new(1);
        let pending = kept.change(
            &context,
            |_| false,
            |_| Ok(()),
            |state| {
                assert_eq!(add(&kept, 5, false), Err(REENTERED));
                assert_eq!(*kept.read(&context)?, 1);
                Ok(state + 1)
            },
        );
        pending.unwrap().unwrap().commit().unwrap();
        assert_eq!(*kept.read(&context).unwrap(), 2);
    }

    #[test]
    fn what_a_thread_of_another_process_held_is_taken_over_unless_it_was_half_way() {
        let kept = Kept::new(1);
        let elsewhere = mine(0) ^ 1 << 40;
        kept.turn.store(elsewhere, Ordering::Release);
        kept.hold.store(elsewhere | u64::from(POINTER), Ordering::Release);
        add(&kept, 1, true).unwrap();
        assert_eq!(*kept.read(&Context::new(1)).unwrap(), 2);
        kept.hold.store(elsewhere | u64::from(CONTENT), Ordering::Release);
        assert!(matches!(kept.read(&Context::new(1)), Err(Error::Busy(_))));
    }

    #[test]
    fn a_panic_half_way_spoils_the_state() {
        let kept = Kept::new(1);
        let context = Context::new(1);
        let panics = |_: &mut u64| panic!("half-way");
        let change = || kept.change(&context, |_| true, panics, |state| Ok(*state)).map(drop);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(change)).is_err());
        assert!(matches!(kept.read(&context), Err(Error::Busy(_))));
    }
}
