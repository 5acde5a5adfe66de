//! How the processor rounds: what a thread has set must not show in our bits.
//!
//! Some libraries flush denormal numbers to zero on the threads that load them, and a new thread inherits the mode of
//! the one that makes it. Workers set the standard mode once; a calling thread for as long as it is ours.

/// Runs `work` with rounding to nearest and with denormal numbers, and then restores what was set before.
pub fn standard_rounding<R>(work: impl FnOnce() -> R) -> R {
    struct Former(Mode);
    impl Drop for Former {
        fn drop(&mut self) {
            set(self.0);
        }
    }
    let former = get();
    if former == STANDARD {
        return work();
    }
    let _restored = Former(former);
    set(STANDARD);
    work()
}

/// Sets the standard mode for good.
pub(super) fn set_standard() {
    set(STANDARD);
}

#[cfg(target_arch = "x86_64")]
mod of_processor {
    pub type Mode = u32;
    /// All exceptions masked, to nearest, no flushing.
    pub const STANDARD: Mode = 0x1f80;
    /// What was raised so far, which is no mode.
    const FLAGS: Mode = 0x3f;

    pub fn get() -> Mode {
        let mut mode: Mode = 0;
        // SAFETY: stores the register MXCSR to a variable of its size.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode & !FLAGS
    }

    pub fn set(mode: Mode) {
        // SAFETY: loads MXCSR with the standard mode, or with what was read from it.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags, readonly));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod of_processor {
    pub type Mode = u64;
    pub const STANDARD: Mode = 0;

    pub fn get() -> Mode {
        let mode: Mode;
        // SAFETY: reads the register FPCR.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
        mode
    }

    pub fn set(mode: Mode) {
        // SAFETY: sets FPCR to the standard mode, or to what was read from it.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) mode, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod of_processor {
    pub type Mode = ();
    pub const STANDARD: Mode = ();

    pub fn get() -> Mode {}

    pub fn set((): Mode) {}
}

use of_processor::{Mode, STANDARD, get, set};

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::parallel::Context;
    use std::hint::black_box;

    /// Flush to zero, and denormals are zeros.
    const FLUSHING: Mode = STANDARD | 1 << 15 | 1 << 6;

    #[test]
    fn denormals_survive_on_this_thread_and_on_workers_made_from_it() {
        // What comes of it is to be there before the mode is set again.
        let halved = || black_box(black_box(f64::MIN_POSITIVE) / black_box(2.0));
        set(FLUSHING);
        let (flushed, kept) = (halved(), standard_rounding(halved));
        let workers = standard_rounding(|| Context::new(7).map(64, |_| halved()));
        let (restored, again) = (get(), halved());
        set(STANDARD);
        assert_eq!((flushed, again, restored), (0.0, 0.0, FLUSHING));
        assert!(kept > 0.0 && workers.unwrap().iter().all(|&value| value == kept));
    }
}
