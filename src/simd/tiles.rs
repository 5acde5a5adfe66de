//! What a matrix unit multiplies: registers of digits, and tiles of sums of their products.

/// Lines, and words of a line.
pub const SIDE: usize = 16;
/// Terms of a tile.
pub const TERMS: usize = 64;

/// One digit of 16 rows or columns in 64 terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Tile(pub [[i8; TERMS]; SIDE]);

impl Tile {
    /// Of zeros.
    pub const ZERO: Self = Self([[0; TERMS]; SIDE]);
}

/// Sums of products, of 16 rows and 16 columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Sums(pub [[i32; SIDE]; SIDE]);

impl Sums {
    /// Of nothing.
    pub const ZERO: Self = Self([[0; SIDE]; SIDE]);
}

/// How many digits a number has, and up to which class their products are summed: that of digits i and l, which
/// weighs 256^-(i + l), is of class i + l.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Of a number.
    pub digits: usize,
    /// The last class that is kept.
    pub last: usize,
}

impl Scheme {
    /// All products of numbers of two to four digits: sums of products of rounded numbers, without an error.
    pub const fn whole(digits: usize) -> Self {
        assert!(2 <= digits && digits <= 4);
        Self { digits, last: 2 * (digits - 1) }
    }

    /// Products as large as the rounding of numbers of three to six digits.
    pub const fn leading(digits: usize) -> Self {
        assert!(3 <= digits && digits <= 6);
        Self { digits, last: digits - 1 }
    }

    /// The largest integer is just below half of this.
    pub fn range(self) -> f64 {
        256f64.powi(self.digits as i32)
    }
}

/// The most classes of a scheme.
pub const CLASSES: usize = 7;
