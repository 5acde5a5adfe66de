//! The matrix unit of Intel's AMX: the only assembly of the library.
//!
//! Eight registers of 16 x 64 bytes; one instruction adds to a tile of 16 x 16 `i32` the products of one register of
//! 16 x 64 signed bytes with another, without any error. A kernel begins and ends without anything in the registers,
//! which the compiler does not know. A thread that multiplies holds [`Tiles`]; one that does not has no state that a
//! switch of context would carry along.
//!
//! Rust 1.95 has no stable intrinsics for it.

use super::tiles::{Scheme, Sums, Tile};
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// True if the processor has the unit and the system saves its registers; nothing is asked of the system.
fn is_there() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    /// Configuration and contents of the registers.
    const SAVED: u64 = 3 << 17;
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: every x86-64 processor has `cpuid`.
    let (leaves, first) = unsafe { (__cpuid(0).eax, __cpuid(1).ecx) };
    if leaves < 7 || first & OSXSAVE == 0 {
        return false;
    }
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: as above, and there is a leaf of that number.
    let features = unsafe { __cpuid_count(7, 0).edx };
    // SAFETY: OSXSAVE says that there is `xgetbv`.
    let saved = unsafe { saved_by_the_system() };
    features & TILE != 0 && features & INT8 != 0 && saved & SAVED == SAVED
}

#[target_feature(enable = "xsave")]
fn saved_by_the_system() -> u64 {
    // SAFETY: register 0 exists wherever `xgetbv` does.
    unsafe { _xgetbv(0) }
}

/// True if this process may use the unit: Linux is asked, once, for as long as the process and its children live.
///
/// It refuses while a thread has an alternate stack for signals that the registers do not fit on, and refuses such
/// stacks from then on; so it is asked when there is something to multiply, and not before.
pub(super) fn is_permitted() -> bool {
    *PERMITTED.get_or_init(|| is_there() && asked())
}

/// The same, where nothing is asked of the system: true unless it has refused.
pub(super) fn may_be_permitted() -> bool {
    *PERMITTED.get().unwrap_or(&true) && is_there()
}

static PERMITTED: OnceLock<bool> = OnceLock::new();

#[cfg(target_os = "linux")]
fn asked() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes numbers and changes no memory of the process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn asked() -> bool {
    false
}

/// The registers, configured for the thread that made this until it is dropped.
pub(crate) struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Panics unless [`is_permitted`].
    pub fn new() -> Self {
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        static ALL: Configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        assert!(is_permitted());
        // SAFETY: the unit is there and may be used; the configuration is one of palette 1.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const ALL, options(readonly, nostack, preserves_flags))
        };
        Self(PhantomData)
    }

    /// Products of the digits of a scheme, the left one's the first of `stored`: `out[c]` becomes the sum over all steps of
    /// those of class c. After each piece of a step, of which there are as many as digits, `meanwhile` is told how many there
    /// have been: the unit is still at work then, and its registers are in use, so that it must not multiply.
    ///
    /// Panics if the tiles are not those of as many steps, or there are fewer sums than classes.
    #[inline]
    pub fn multiply(
        &self,
        scheme: Scheme,
        left: &[Tile],
        stored: usize,
        right: &[Tile],
        out: &mut [Sums],
        mut meanwhile: impl FnMut(usize),
    ) {
        let steps = right.len() / scheme.digits;
        assert!(stored >= scheme.digits && left.len() == steps * stored);
        assert!(right.len() == steps * scheme.digits && out.len() > scheme.last);
        if steps == 0 {
            return out[..=scheme.last].fill(Sums::ZERO);
        }
        let (left, right, out) = ((left.as_ptr(), stored), right.as_ptr(), out.as_mut_ptr());
        // SAFETY: the slices were just measured, and this thread holds the registers.
        unsafe {
            match (scheme.digits, scheme.last) {
                (2, 2) => two(left, right, steps, out, meanwhile),
                (3, 4) => three(left, right, steps, out, meanwhile),
                (3, 2) => leading_three(left, right, steps, out, meanwhile),
                (4, 3) => leading_four(left, right, steps, out, meanwhile),
                (4, 6) => {
                    leading_four(left, right, steps, out, &mut meanwhile);
                    trailing_four(left, right, steps, out.add(4), |_| ());
                }
                (5, 4) => leading_five(left, right, steps, out, meanwhile),
                (6, 5) => leading_six(left, right, steps, out, meanwhile),
                _ => unreachable!("there is a kernel for every scheme"),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: made only where there is the unit.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}

/// An instruction of a kernel: a digit of the left or the right operand into a register, or the products of two registers
/// added to those of a class.
macro_rules! instruction {
    (left $digit:literal $register:literal) => {
        concat!("tileloadd tmm", $register, ", [{left} + {line} + 1024 * ", $digit, "]")
    };
    (right $digit:literal $register:literal) => {
        concat!("tileloadd tmm", $register, ", [{right} + {line} + 1024 * ", $digit, "]")
    };
    ($left:literal * $right:literal -> $class:literal) => {
        concat!("tdpbssd tmm", $class, ", tmm", $left, ", tmm", $right)
    };
}

/// A kernel by its digits, classes, and the instructions of a step, in pieces: one for each digit of the right operand that
/// it takes. A register for each class; the others take the operands, each digit for as long as it is needed.
macro_rules! kernel {
    ($name:ident, $digits:literal, [$($class:literal)*], $({ $([$($word:tt)*])* })*) => {
        /// # Safety
        ///
        /// There are as many tiles as digits, of the left operand as many as it says and no fewer, in each of the steps, which
        /// are more than none, as many sums as classes, and the thread holds [`Tiles`].
        #[inline]
        unsafe fn $name(
            (mut left, stored): (*const Tile, usize),
            mut right: *const Tile,
            steps: usize,
            out: *mut Sums,
            mut meanwhile: impl FnMut(usize),
        ) {
            // SAFETY: by the caller. No register of the unit is in use before or after, and nothing but this uses them.
            unsafe {
                asm!(
                    $(concat!("tilezero tmm", $class),)*
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                    options(nomem, nostack, preserves_flags),
                );
                let mut piece = 0;
                for _ in 0..steps {
                    $(
                        asm!(
                            "/* {left} {right} {line} */",
                            $(instruction!($($word)*),)*
                            left = in(reg) left,
                            right = in(reg) right,
                            line = in(reg) 64usize,
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                            options(readonly, nostack, preserves_flags),
                        );
                        piece += 1;
                        meanwhile(piece);
                    )*
                    (left, right) = (left.add(stored), right.add($digits));
                }
                asm!(
                    $(concat!("tilestored [{out} + {line} + 1024 * ", $class, "], tmm", $class),)*
                    out = in(reg) out,
                    line = in(reg) 64usize,
                    options(nostack, preserves_flags),
                );
            }
        }
    };
}

kernel!(two, 2, [0 1 2],
    { [right 0 7] [left 0 5] [5 * 7 -> 0] [left 1 6] [6 * 7 -> 1] }
    { [right 1 7] [5 * 7 -> 1] [6 * 7 -> 2] });
kernel!(three, 3, [0 1 2 3 4],
    { [right 0 7] [left 0 6] [6 * 7 -> 0] [left 1 5] [5 * 7 -> 1] [left 2 6] [6 * 7 -> 2] }
    { [right 1 7] [6 * 7 -> 3] [5 * 7 -> 2] [left 0 6] [6 * 7 -> 1] }
    { [right 2 7] [5 * 7 -> 3] [6 * 7 -> 2] [left 2 6] [6 * 7 -> 4] });
kernel!(leading_three, 3, [0 1 2],
    { [right 0 7] [left 0 4] [4 * 7 -> 0] [left 1 5] [5 * 7 -> 1] [left 2 6] [6 * 7 -> 2] }
    { [right 1 7] [4 * 7 -> 1] [5 * 7 -> 2] }
    { [right 2 7] [4 * 7 -> 2] });
kernel!(leading_four, 4, [0 1 2 3],
    { [right 0 7] [left 3 4] [4 * 7 -> 3] [left 0 4] [4 * 7 -> 0] [left 1 5] [5 * 7 -> 1] [left 2 6] [6 * 7 -> 2] }
    { [right 1 7] [4 * 7 -> 1] [5 * 7 -> 2] [6 * 7 -> 3] }
    { [right 2 7] [4 * 7 -> 2] [5 * 7 -> 3] }
    { [right 3 7] [4 * 7 -> 3] });
// Seven classes are too many for the registers: those from the fourth on.
kernel!(trailing_four, 4, [0 1 2],
    { [right 1 7] [left 3 6] [6 * 7 -> 0] }
    { [right 2 7] [left 2 5] [5 * 7 -> 0] [6 * 7 -> 1] }
    { [right 3 7] [left 1 4] [4 * 7 -> 0] [5 * 7 -> 1] [6 * 7 -> 2] });
kernel!(leading_five, 5, [0 1 2 3 4],
    { [right 0 7] [left 4 5] [5 * 7 -> 4] [left 3 6] [6 * 7 -> 3] [left 2 5] [5 * 7 -> 2] [left 1 6] [6 * 7 -> 1]
      [left 0 5] [5 * 7 -> 0] }
    { [right 1 7] [5 * 7 -> 1] [6 * 7 -> 2] [left 3 5] [5 * 7 -> 4] [left 2 5] [5 * 7 -> 3] }
    { [right 2 7] [5 * 7 -> 4] [6 * 7 -> 3] [left 0 5] [5 * 7 -> 2] }
    { [right 3 7] [5 * 7 -> 3] [6 * 7 -> 4] }
    { [right 4 7] [5 * 7 -> 4] });
kernel!(leading_six, 6, [0 1 2 3 4 5],
    { [right 0 7] [left 5 6] [6 * 7 -> 5] [left 4 6] [6 * 7 -> 4] [left 3 6] [6 * 7 -> 3] [left 2 6] [6 * 7 -> 2]
      [left 1 6] [6 * 7 -> 1] [left 0 6] [6 * 7 -> 0] }
    { [right 1 7] [6 * 7 -> 1] [left 1 6] [6 * 7 -> 2] [left 2 6] [6 * 7 -> 3] [left 4 6] [6 * 7 -> 5] [left 3 6]
      [6 * 7 -> 4] }
    { [right 2 7] [6 * 7 -> 5] [left 0 6] [6 * 7 -> 2] [left 1 6] [6 * 7 -> 3] [left 2 6] [6 * 7 -> 4] }
    { [right 3 7] [6 * 7 -> 5] [left 0 6] [6 * 7 -> 3] [left 1 6] [6 * 7 -> 4] }
    { [right 4 7] [6 * 7 -> 5] [left 0 6] [6 * 7 -> 4] }
    { [right 5 7] [6 * 7 -> 5] });
