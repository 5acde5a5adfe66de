//! What is asked for, and the methods in the order in which they are tried.

use crate::error::{Error, Result};
use crate::linalg::{Precision, matrix_unit, precisions};
use crate::matrix::{Real, Source};
use crate::memory::collected;
use crate::regression::design::Design;
use crate::regression::design::narrow::is_narrow;
use crate::regression::driver::cost::{Costs, SPIR_PASSES, costs, gram_of_entries, sparse_costs};
use crate::regression::driver::hint::Hint;
use crate::regression::methods::outcome::Limit;
use crate::regression::methods::sketched::SketchPlan;
use crate::regression::problem::{Preconditioner, Problem};
use crate::sketch::Kind;

/// How the problem is to be solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The cheapest that the conditioning allows.
    #[default]
    Auto,
    /// Cholesky factor of A'A in single, then double precision.
    Gram,
    /// Sparse Cholesky factor of A'A, for sparse A.
    SparseCholesky,
    /// Cholesky factor of the sketch-whitened A.
    Whitened,
    /// Sketch-preconditioned conjugate gradients with refinement.
    Spir,
    /// Sketch-preconditioned heavy-ball iteration with refinement.
    Fossils,
    /// Conjugate gradients on the normal equations: no factor, no sketch.
    Cg,
    /// LSMR: no factor, no sketch.
    Lsmr,
    /// Refinement of the augmented system by FGMRES.
    FgmresWlsir,
    /// Tall-skinny Householder QR.
    Qr,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Auto,
        Self::Gram,
        Self::SparseCholesky,
        Self::Whitened,
        Self::Spir,
        Self::Fossils,
        Self::Cg,
        Self::Lsmr,
        Self::FgmresWlsir,
        Self::Qr,
    ];

    /// The name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gram => "gram",
            Self::SparseCholesky => "sparse_cholesky",
            Self::Whitened => "whitened",
            Self::Spir => "spir",
            Self::Fossils => "fossils",
            Self::Cg => "cg",
            Self::Lsmr => "lsmr",
            Self::FgmresWlsir => "fgmres_wlsir",
            Self::Qr => "qr",
        }
    }
}

/// Everything but the problem.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// How to solve.
    pub method: Method,
    /// Singular values of the column-scaled A below this times the largest count as zero; `None`: max(30, min(n, d)) u, or
    /// the spacing of single precision at 1 if that is the element type and more.
    pub rcond: Option<f64>,
    /// Kind of sketch; `None`: sparse signs, eight to a column.
    pub sketch: Option<Kind>,
    /// Rows of the sketch; `None`: by the method.
    pub sketch_size: Option<usize>,
    /// Backward error relative to |A|_F to be reached; `None`: the unit roundoff of the element type.
    pub tolerance: Option<f64>,
    /// Most reads of A in one refinement, or iterations of LSMR, whose answer is then the last; `None`: 7, or by the shape.
    pub max_iter: Option<usize>,
    /// Of every random choice.
    pub seed: u64,
    /// Keep the factor, exact to rounding, for covariances of the coefficients; may take one more read of A.
    pub keep_factor: bool,
    /// Of the products that factors are made of; `None`: by the condition of A.
    pub dtype_work: Option<Precision>,
    /// For [`Method::FgmresWlsir`]; `None`: the one that bears any weights.
    pub preconditioner: Option<Preconditioner>,
    /// Bound the distance of every coefficient from the minimiser's.
    pub certify: bool,
}

/// A method to try, with what it is tried with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Candidate {
    Gram(Precision),
    Dual(Precision),
    QrOfRows,
    SparseCholesky,
    Shifted,
    Whitened { draw: u32 },
    Iterative { draw: u32, heavy_ball: bool },
    Cg(Limit),
    Lsmr(Limit),
    Augmented { draw: u32, preconditioner: Preconditioner },
    Qr,
}

/// Those of them that ask for products only.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum ProductCandidate {
    Iterative { draw: u32, heavy_ball: bool },
    Lsmr(Limit),
}

impl From<ProductCandidate> for Candidate {
    fn from(candidate: ProductCandidate) -> Self {
        match candidate {
            ProductCandidate::Iterative { draw, heavy_ball } => Self::Iterative { draw, heavy_ball },
            ProductCandidate::Lsmr(limit) => Self::Lsmr(limit),
        }
    }
}

impl ProductCandidate {
    /// A sketch, and another one should it fail.
    pub fn iterative(heavy_ball: bool) -> [Self; 2] {
        [0, 1].map(|draw| Self::Iterative { draw, heavy_ball })
    }

    /// LSMR for as long as it may take.
    pub fn lsmr(params: &Params, n: usize, d: usize) -> Self {
        Self::Lsmr(patient_limit(params, n, d))
    }

    /// LSMR for so many iterations at most, given up as soon as it is seen to need more.
    fn few_of_lsmr(params: &Params, iterations: usize) -> Self {
        let in_all = most_in_all(params);
        Self::Lsmr(Limit { iterations: iterations.min(in_all), in_all, gives_up: true })
    }
}

impl Candidate {
    pub fn method(self) -> Method {
        match self {
            Self::Gram(_) | Self::Dual(_) => Method::Gram,
            Self::SparseCholesky | Self::Shifted => Method::SparseCholesky,
            Self::Whitened { .. } => Method::Whitened,
            Self::Iterative { heavy_ball: false, .. } => Method::Spir,
            Self::Iterative { heavy_ball: true, .. } => Method::Fossils,
            Self::Cg(_) => Method::Cg,
            Self::Lsmr(_) => Method::Lsmr,
            Self::Augmented { .. } => Method::FgmresWlsir,
            Self::Qr | Self::QrOfRows => Method::Qr,
        }
    }

    /// A sketch, and another one should it fail.
    pub fn iterative(heavy_ball: bool) -> [Self; 2] {
        ProductCandidate::iterative(heavy_ball).map(Self::from)
    }

    /// LSMR for as long as it may take.
    pub fn lsmr(params: &Params, n: usize, d: usize) -> Self {
        ProductCandidate::lsmr(params, n, d).into()
    }

    /// Conjugate gradients for as long as they may take.
    pub fn cg(params: &Params, n: usize, d: usize) -> Self {
        Self::Cg(patient_limit(params, n, d))
    }

    pub fn describe(self) -> &'static str {
        match self {
            Self::Gram(Precision::Single) => "gram (single precision)",
            Self::Gram(Precision::Double) => "gram (double precision)",
            Self::Gram(Precision::Digits(3)) => "gram (three digits)",
            Self::Gram(Precision::Digits(_)) => "gram (four digits)",
            Self::Dual(Precision::Single) => "gram of rows (single precision)",
            Self::Dual(Precision::Double) => "gram of rows (double precision)",
            Self::Dual(Precision::Digits(3)) => "gram of rows (three digits)",
            Self::Dual(Precision::Digits(_)) => "gram of rows (four digits)",
            Self::QrOfRows => "qr of rows",
            Self::Shifted => "sparse_cholesky (shifted)",
            Self::Augmented { preconditioner: Preconditioner::Split, .. } => "fgmres_wlsir (split)",
            Self::Augmented { preconditioner: Preconditioner::Left, .. } => "fgmres_wlsir (left)",
            _ => self.method().name(),
        }
    }

    /// Number of the draw of its sketch, if it begins with one.
    pub fn draw(self) -> Option<u32> {
        match self {
            Self::Whitened { draw } | Self::Iterative { draw, .. } | Self::Augmented { draw, .. } => {
                Some(draw)
            }
            Self::Gram(_) | Self::Dual(_) | Self::SparseCholesky | Self::Shifted => None,
            Self::Cg(_) | Self::Lsmr(_) | Self::Qr | Self::QrOfRows => None,
        }
    }

    /// Rows of its sketch, if it begins with one.
    pub fn sketch_size<T: Real, M: Source>(
        self,
        design: &Design<'_, T, M>,
        params: &Params,
    ) -> Option<usize> {
        self.draw().map(|_| self.sketch(design, params).rows)
    }

    /// m = 2 d suffices where the whole Gram matrix follows; iterations want a better embedding.
    pub fn sketch<T: Real, M: Source>(self, design: &Design<'_, T, M>, params: &Params) -> SketchPlan {
        let (n, d, draw) = (design.nrows(), design.ncols(), self.draw().unwrap_or(0));
        let kind = params.sketch.unwrap_or(Kind::SparseSign { zeta: 8 });
        let ratio = match self {
            Self::Whitened { .. } | Self::Augmented { .. } => 2,
            _ if design.stored().is_some() || n < 40 * d => 4,
            _ => 12,
        };
        let rows = params.sketch_size.unwrap_or_else(|| (ratio * d).max(d + 32).next_multiple_of(8));
        SketchPlan { kind, rows: rows << draw.min(1), seed: params.seed, draw }
    }
}

/// The methods to try, in this order, and why.
pub(crate) struct Plan<C> {
    /// Never empty.
    pub candidates: Vec<C>,
    /// Why these.
    pub reasons: Vec<String>,
}

impl Plan<Candidate> {
    /// The candidates for fewer rows than columns, A A' being there in double precision or not.
    pub fn for_wide_rows<T: Real>(design: &Design<'_, T>, params: &Params, has_gram: bool) -> Result<Self> {
        let (n, d) = (design.nrows(), design.ncols());
        let [fast, accurate] = precisions(n);
        let costs = costs((d, n), design.ntargets(), None, [fast, accurate]);
        let precisions = match params.dtype_work {
            _ if params.method == Method::Qr => [None; 2],
            Some(precision) => [None, Some(precision)],
            None if has_gram => [None, Some(Precision::Double)],
            // The read that accurate products spare is one of two products here.
            None if costs.gram[1] < costs.gram[0] + costs.read => [None, Some(accurate)],
            None => [Some(fast), Some(accurate)],
        };
        let last = [Candidate::QrOfRows, Candidate::Qr];
        let candidates = precisions.into_iter().flatten().map(Candidate::Dual).chain(last);
        let reason = format!("{n} rows are fewer than {d} columns");
        Ok(Self { candidates: collected(candidates, PLAN)?, reasons: collected([reason], PLAN)? })
    }

    /// The same of sparse rows, A A' being made of so many products: by that at once where it is cheap, else once iterations
    /// without a factor are seen to need more.
    pub fn for_wide_sparse_rows<T: Real>(
        design: &Design<'_, T>,
        params: &Params,
        products: usize,
    ) -> Result<Self> {
        let (n, d, stored) = (design.nrows(), design.ncols(), design.stored().unwrap_or(0));
        let ridges = usize::from(design.has_ridge());
        let costs = sparse_costs((n + ridges * d, d), stored, 0);
        let gram = gram_of_entries(n, products) + 4.0 * costs.read;
        let reads = (gram / costs.read) as usize;
        let reasons =
            [format!("{n} rows are fewer than {d} columns, and A A' costs as much as {reads} reads")];
        let iterations = reads.clamp(FEWEST_ITERATIONS, LONGEST);
        let worth = Candidate::Cg(Limit { iterations, gives_up: true, ..patient_limit(params, n, d) });
        let dual = Candidate::Dual(Precision::Double);
        let last = match takes_longer(costs.qr, costs.read, (n, d)) {
            true => Candidate::cg(params, n, d),
            false => Candidate::Qr,
        };
        let candidates = match params.method {
            Method::Gram => [dual, last].into(),
            // Where A A' has no factor, QR tells the rank.
            _ if costs.qr <= QUICK => [dual, Candidate::Qr].into(),
            _ if reads <= CHEAP_FACTOR => [dual, worth, last].into(),
            _ => [worth, dual, last].into(),
        };
        Ok(Self { candidates, reasons: reasons.into() })
    }

    /// The candidates in the order in which they are tried.
    #[expect(clippy::disallowed_methods, reason = "there are few candidates and reasons")]
    pub fn for_rows<T: Real>(design: &Design<'_, T>, params: &Params, hint: Option<&Hint>) -> Result<Self> {
        let (n, d) = (design.nrows(), design.ncols());
        let (square, mut reasons) = (is_square(n, d), Vec::new());
        let costs = costs_of(design, params);
        let [fast, accurate] = costs.precisions;
        let is_cheaper_at_once = design.ntargets() > 1 && costs.gram[1] < costs.gram[0];
        let limits = match params.dtype_work {
            _ if design.stored().is_some() => [Some((Precision::Double, Precision::Double.limit())), None],
            Some(precision) => [Some((precision, precision.limit())), None],
            None if params.keep_factor => [Some((Precision::Double, Precision::Double.limit())), None],
            None if is_cheaper_at_once => [Some((accurate, accurate.limit())), None],
            None => [(fast, promising(fast)), (accurate, accurate.limit())].map(Some),
        };
        let last = limits.iter().flatten().last().map_or(Precision::Double, |&(precision, _)| precision);
        let last = Candidate::Gram(last);
        let gram = |condition: f64| {
            limits
                .iter()
                .flatten()
                .filter(move |&&(_, limit)| condition <= limit)
                .map(|&(p, _)| Candidate::Gram(p))
        };
        let whitened = [Candidate::Whitened { draw: 0 }, Candidate::Whitened { draw: 1 }];
        let iterative = Candidate::iterative;
        let augmented = |preconditioner| [0, 1].map(|draw| Candidate::Augmented { draw, preconditioner });
        let condition = hint.map_or(f64::INFINITY, |hint| hint.condition);
        let mut candidates: Vec<Candidate> = match params.method {
            Method::Qr => Vec::new(),
            Method::Whitened => whitened.into(),
            Method::Spir => iterative(false).into(),
            Method::Fossils => iterative(true).into(),
            Method::Cg | Method::Lsmr => {
                let make = if params.method == Method::Cg { Candidate::cg } else { Candidate::lsmr };
                let candidates = [make(params, n, d)].into();
                if has_no_factor(design, params) {
                    return Ok(Self { candidates, reasons });
                }
                candidates
            }
            Method::FgmresWlsir => augmented(params.preconditioner.unwrap_or(Preconditioner::Split)).into(),
            Method::SparseCholesky | Method::Gram if design.stored().is_some() => {
                let first = if params.method == Method::Gram { last } else { Candidate::SparseCholesky };
                if d > LARGEST_GRAM {
                    let shifted = (first == Candidate::SparseCholesky).then_some(Candidate::Shifted);
                    let last = shifted.into_iter().chain([Candidate::cg(params, n, d)]);
                    let candidates = collected([first].into_iter().chain(last), PLAN)?;
                    return Ok(Self { candidates, reasons });
                }
                let rest = iterative(false).into_iter().filter(|_| !square);
                collected([first].into_iter().chain(rest), PLAN)?
            }
            Method::SparseCholesky => {
                return Err(Error::value(
                    "method",
                    "'sparse_cholesky' for a dense array",
                    "another one, such as 'gram', or `A` as a sparse matrix",
                ));
            }
            Method::Gram if square => [last].into(),
            Method::Gram => collected(gram(condition).chain([last]).take(2).chain(whitened), PLAN)?,
            Method::Auto if square => {
                reasons.push(format!("{n} x {d} is too small or too square for anything but QR"));
                Vec::new()
            }
            Method::Auto => {
                reasons.extend(hint.map(Hint::describe));
                reasons.push(costs.describe());
                if matches!(fast, Precision::Digits(_)) {
                    reasons
                        .push(format!("products of base-256 digits by the matrix unit: {}", matrix_unit()));
                }
                let cheapest = costs.cheapest();
                let cheaper = |&candidate: &Candidate| costs.of(candidate) < costs.of(cheapest[0]);
                collected(gram(condition).filter(cheaper).chain(cheapest), PLAN)?
            }
        };
        // Sparse rows that QR would spread out for longer than iterations may take.
        let is_spared = design.stored().is_some() && params.method != Method::Qr && !params.keep_factor;
        let is_last = is_spared && is_dear(design);
        candidates.push(if is_last { Candidate::cg(params, n, d) } else { Candidate::Qr });
        candidates.dedup();
        Ok(Self { candidates, reasons })
    }

    /// The same where A'A is there already.
    pub fn after_first_read<T: Real>(design: &Design<'_, T>, params: &Params) -> Result<Self> {
        let rest = match params.method {
            Method::Gram if !is_square(design.nrows(), design.ncols()) => {
                [0, 1].map(|draw| Candidate::Whitened { draw })
            }
            Method::Gram => [Candidate::Qr; 2],
            _ => costs_of(design, params).cheapest(),
        };
        let gram = Candidate::Gram(Precision::Double);
        let mut candidates = collected([gram].into_iter().chain(rest).chain([Candidate::Qr]), PLAN)?;
        candidates.dedup();
        let reason = (params.method == Method::Auto).then(|| "rows so narrow give A'A in one read".into());
        Ok(Self { candidates, reasons: collected(reason, PLAN)? })
    }

    /// `"auto"` on sparse rows, the squares of whose lengths add up to so many: iterations without a factor, unless a factor
    /// costs no more than they do at best, until they are seen to need more than it costs. What a sparse factor costs is
    /// known once its entries are: it is tried where rows are short and iterations are many.
    #[expect(clippy::disallowed_methods, reason = "there are few candidates and reasons")]
    pub fn for_sparse_rows<T: Real>(design: &Design<'_, T>, params: &Params, squares: usize) -> Result<Self> {
        let (n, d, stored) = (design.nrows(), design.ncols(), design.stored().unwrap_or(0));
        let costs = sparse_costs((n, d), stored, squares);
        let patient = Candidate::cg(params, n, d);
        let is_small = n.saturating_mul(d) <= SMALL;
        let factors = match () {
            () if is_small => Vec::new(),
            () if d > LARGEST_GRAM => Vec::new(),
            () if n < d => Vec::new(),
            () => [[Candidate::Gram(Precision::Double)].as_slice(), &Candidate::iterative(false)].concat(),
        };
        let of_factor = if factors.is_empty() { costs.qr } else { costs.gram };
        let reads = (of_factor / costs.read) as usize;
        let reasons = [costs.describe(), format!("a factor costs as much as {reads} reads")].into();
        let worth = |reads: usize| {
            let iterations = reads.clamp(FEWEST_ITERATIONS, LONGEST);
            Candidate::Cg(Limit { iterations, gives_up: true, ..patient_limit(params, n, d) })
        };
        let wants_factor = params.keep_factor;
        let has_short_rows = squares / 2 <= SHORT_ROWS.saturating_mul(stored) && n >= d;
        let mut candidates = factors;
        if !is_small && !wants_factor {
            match reads {
                ..=CHEAP_FACTOR => candidates.insert(1.min(candidates.len()), worth(reads)),
                WORTH_A_SPARSE_FACTOR.. if has_short_rows => {
                    let sparse = [worth(WORTH_A_SPARSE_FACTOR), Candidate::SparseCholesky, worth(reads)];
                    candidates.splice(0..0, sparse);
                }
                _ => candidates.insert(0, worth(reads)),
            }
        }
        let is_dear = d > LARGEST_GRAM || takes_longer(costs.qr, costs.read, (n, d));
        let last = if is_dear && !wants_factor { patient } else { Candidate::Qr };
        if let (Some(Candidate::Cg(_)), Candidate::Cg(_)) = (candidates.last(), last) {
            // Iterations that nothing else follows are not given up to begin again.
            candidates.pop();
        }
        candidates.push(last);
        if let Some(at) = candidates.iter().position(|&tried| tried == Candidate::SparseCholesky)
            && d > LARGEST_GRAM
        {
            // There is no sketch for what A'A is too ill-conditioned for.
            candidates.insert(at + 1, Candidate::Shifted);
        }
        Ok(Self { candidates, reasons })
    }
}

impl Plan<ProductCandidate> {
    /// The candidates for a linear operator. There is no QR to end with: the last answer is taken as it is.
    pub fn for_products(n: usize, d: usize, params: &Params) -> Result<Self> {
        for (argument, is_wanted) in [("certify", params.certify), ("keep_factor", params.keep_factor)] {
            if is_wanted {
                return Err(Error::value(
                    argument,
                    "true for a linear operator",
                    "false, or `A` as an array",
                ));
            }
        }
        let few = d / LSMR_SHARE;
        let candidates = match params.method {
            Method::Auto if d > LARGEST_FACTOR => [ProductCandidate::lsmr(params, n, d)].into(),
            Method::Auto if few >= FEWEST_ITERATIONS => collected(
                [ProductCandidate::few_of_lsmr(params, few)]
                    .into_iter()
                    .chain(ProductCandidate::iterative(false)),
                PLAN,
            )?,
            Method::Auto | Method::Spir => ProductCandidate::iterative(false).into(),
            Method::Fossils => ProductCandidate::iterative(true).into(),
            Method::Lsmr => [ProductCandidate::lsmr(params, n, d)].into(),
            Method::Gram
            | Method::SparseCholesky
            | Method::Whitened
            | Method::Cg
            | Method::FgmresWlsir
            | Method::Qr => {
                return Err(Error::value(
                    "method",
                    format!("'{}' for a linear operator", params.method.name()),
                    "one that asks for products only, 'auto', 'spir', 'fossils' or 'lsmr', or `A` as an array",
                ));
            }
        };
        let reason = (params.method == Method::Auto).then(|| match candidates[0] {
            ProductCandidate::Lsmr(Limit { gives_up: false, .. }) => {
                format!("{d} columns are too many to factor a sketch")
            }
            ProductCandidate::Lsmr(_) => format!(
                "a sketch takes {d} products and about {} more: lsmr is worth up to {few} iterations",
                2.0 * SPIR_PASSES,
            ),
            _ => format!("a sketch takes {d} products, which is little"),
        });
        Ok(Self { candidates, reasons: collected(reason, PLAN)? })
    }
}

const PLAN: &str = "a plan";

/// True if there is nothing to gain over QR.
fn is_square(n: usize, d: usize) -> bool {
    n < d.saturating_mul(4) || n.saturating_mul(d) <= SMALL
}

/// True if A'A is had in the first read of A, whatever the condition of A.
pub(crate) fn wants_first_read<T: Real>(problem: &Problem<'_, T>, params: &Params) -> bool {
    let (n, d) = (problem.design.nrows(), problem.design.ncols());
    let is_tried = match params.method {
        Method::Gram => true,
        method => method == Method::Auto && !is_square(n, d),
    };
    is_tried
        && n >= d
        && params.dtype_work != Some(Precision::Single)
        && is_narrow(&problem.design, problem.targets.ncols())
}

/// True if the rows are so few that a factor of theirs takes the place of one of A, and none of the latter is wanted.
pub(crate) fn is_dual<T: Real>(design: &Design<'_, T>, params: &Params) -> bool {
    let is_dense = design.stored().is_none();
    design.nrows() < design.ncols()
        && (is_dense || design.nrows() <= LARGEST_GRAM)
        && match params.method {
            Method::Auto | Method::Gram => true,
            // Sparse rows have no QR of theirs that would not spread them out.
            Method::Qr => is_dense,
            _ => false,
        }
        && !params.keep_factor
}

/// True if the condition of A decides what is tried.
pub(crate) fn wants_hint<T: Real>(design: &Design<'_, T>, params: &Params) -> bool {
    let (n, d) = (design.nrows(), design.ncols());
    match params.method {
        _ if is_square(n, d) => false,
        Method::Gram => design.stored().is_none(),
        Method::Auto if design.stored().is_some() => false,
        method => method == Method::Auto,
    }
}

fn costs_of<T: Real>(design: &Design<'_, T>, params: &Params) -> Costs {
    let (n, d, stored) = (design.nrows(), design.ncols(), design.stored());
    costs((n, d), design.ntargets(), stored, precisions_of(design, params))
}

/// The fast precision of products and the accurate one: floating point where that is asked for, or an exact factor is, and
/// for sparse rows.
pub(crate) fn precisions_of<T: Real>(design: &Design<'_, T>, params: &Params) -> [Precision; 2] {
    match params.dtype_work.is_some() || params.keep_factor || design.stored().is_some() {
        true => FLOATS,
        false => precisions(design.ncols()),
    }
}

const FLOATS: [Precision; 2] = [Precision::Single, Precision::Double];

/// Up to which estimated condition products of a fast precision are tried: beyond it refinement takes more reads than they
/// save.
fn promising(precision: Precision) -> f64 {
    match precision {
        Precision::Digits(_) => 1e4,
        Precision::Single | Precision::Double => 300.0,
    }
}

/// As long as iterations without a factor may take.
fn patient_limit(params: &Params, n: usize, d: usize) -> Limit {
    let iterations = params.max_iter.unwrap_or(most_iterations(n, d));
    Limit { iterations, in_all: most_in_all(params), gives_up: false }
}

/// Iterations after which LSMR is given up, if the caller does not say how many.
fn most_iterations(n: usize, d: usize) -> usize {
    n.min(d).saturating_mul(10).saturating_add(100).min(LONGEST)
}

/// Most iterations of LSMR, all its searches included.
fn most_in_all(params: &Params) -> usize {
    params.max_iter.unwrap_or(usize::MAX)
}

/// True if LSMR is all there is: QR does not follow on a limit that the caller has set, nor where it takes longer than
/// all that LSMR was allowed.
fn has_no_factor<T: Real>(design: &Design<'_, T>, params: &Params) -> bool {
    unfactorable(design) || params.max_iter.is_some() || is_dear(design)
}

/// True if QR takes longer than all iterations that are allowed.
fn is_dear<T: Real>(design: &Design<'_, T>) -> bool {
    let (n, d) = (design.nrows(), design.ncols());
    let rows = if design.has_ridge() { n + d } else { n };
    let costs = costs((rows.max(d), rows.min(d)), 1, design.stored(), FLOATS);
    n.saturating_mul(d) > SMALL && takes_longer(costs.qr, costs.read, (n, d))
}

/// True if that many seconds are more than all iterations that are allowed take, a read each.
fn takes_longer(qr: f64, read: f64, (n, d): (usize, usize)) -> bool {
    qr > (most_iterations(n, d) as f64 * read).max(QUICK)
}

/// True for sparse matrices of which a factor would be larger than anyone wants.
fn unfactorable<T: Real>(design: &Design<'_, T>) -> bool {
    design.stored().is_some() && design.ncols() > LARGEST_FACTOR
}

/// Up to this many entries, QR is as fast as anything.
pub(crate) const SMALL: usize = 1 << 14;

/// LSMR is tried for 1 / 20 of the products that a sketch of a linear operator takes: products with many vectors at
/// once cost less.
const LSMR_SHARE: usize = 20;
/// With fewer iterations LSMR has no chance.
const FEWEST_ITERATIONS: usize = 10;
/// Reads that a factor may cost and be tried before iterations, which take 13 at best, of two vectors at once, for 1.3 times
/// as long. Iterations that are given up have taken seven of them: either way no more than 1.4 times the least is lost.
const CHEAP_FACTOR: usize = 24;
/// Products of a row for every entry of it, up to which A'A may be sparse.
const SHORT_ROWS: usize = 16;
/// Iterations that take as long as to find out how sparse A'A and its factor are, and to have it. A dense factor that
/// costs less leaves nothing to find out.
const WORTH_A_SPARSE_FACTOR: usize = 60;
/// Columns of a sparse matrix from which on A'A takes more than 1 GB, and a sketch 4.
const LARGEST_GRAM: usize = 12_000;
/// Iterations after which LSMR is not expected to come to an end.
const LONGEST: usize = 10_000;
/// Seconds that QR may always take.
const QUICK: f64 = 0.1;
/// Columns from which on a factor of a sketch takes more memory (12 GB) and time than one would want.
const LARGEST_FACTOR: usize = 20_000;

impl Costs {
    /// The cheapest candidates that serve for any condition.
    fn cheapest(&self) -> [Candidate; 2] {
        let robust = [
            [0, 1].map(|draw| Candidate::Whitened { draw }),
            Candidate::iterative(false),
            [Candidate::Qr; 2],
        ];
        let of = |candidates: &[Candidate; 2]| self.of(candidates[0]);
        robust.into_iter().min_by(|left, right| of(left).total_cmp(&of(right))).unwrap_or([Candidate::Qr; 2])
    }

    fn of(&self, candidate: Candidate) -> f64 {
        match candidate {
            Candidate::Gram(precision) | Candidate::Dual(precision) => {
                self.gram[usize::from(precision != self.precisions[0])]
            }
            Candidate::Whitened { .. } | Candidate::Augmented { .. } => self.whitened,
            Candidate::Iterative { .. } => self.spir,
            // Nothing tells how many iterations, or entries, there will be: never the cheapest.
            Candidate::Cg(_) | Candidate::Lsmr(_) => f64::INFINITY,
            Candidate::SparseCholesky | Candidate::Shifted => f64::INFINITY,
            Candidate::Qr | Candidate::QrOfRows => self.qr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Axis, Buffer, Indices, Mat, Matrix, Sparse};
    use crate::parallel::Context;
    use crate::regression::problem::Problem;
    use crate::regression::testing::{Instance, forms};
    use crate::simd::digits::Unit;
    use crate::simd::digits::testing::with_unit;

    fn asking(method: Method) -> Params {
        Params { method, ..Params::default() }
    }

    /// What is tried on 2000 dense rows of 12 columns.
    fn on_dense_rows(params: &Params, condition: f64) -> Vec<Candidate> {
        on_dense_columns(12, params, condition)
    }

    fn on_dense_columns(d: usize, params: &Params, condition: f64) -> Vec<Candidate> {
        let instance = Instance::new(2000, d);
        let problem = instance.problem(forms().next().unwrap(), &[0.0]);
        let problem = Problem { targets: problem.targets.cols(0..1), ..problem };
        let design = Design::new(&Context::new(1), &problem).unwrap();
        let largest = Buffer::zeros(d, "magnitudes").unwrap();
        let hint = Hint { condition, rows: 80, largest, is_blank: false };
        Plan::for_rows(&design, params, Some(&hint)).unwrap().candidates
    }

    /// What is tried on sparse rows, the first d of which are those of the identity and the others empty, as if A'A took so
    /// many products.
    fn on_sparse_rows(params: &Params, (n, d): (usize, usize), products: usize) -> Vec<Candidate> {
        let indptr: Vec<i32> = (0..=n).map(|i| i.min(d) as i32).collect();
        let indices: Vec<i32> = (0..d as i32).collect();
        let (ones, b) = (vec![1.0; d], Mat::zeros(n, 1).unwrap());
        let (context, indptr, indices) = (Context::new(1), Indices::I32(&indptr), Indices::I32(&indices));
        let sparse = Sparse::new(&context, "A", Axis::Rows, (n, d), indptr, indices, &ones).unwrap();
        let problem = Problem {
            design: Matrix::Sparse(sparse),
            targets: b.as_ref(),
            weights: None,
            ridge: &[0.0],
            fit_intercept: false,
        };
        let design = Design::new(&context, &problem).unwrap();
        match params.method {
            Method::Auto => Plan::for_sparse_rows(&design, params, products).unwrap().candidates,
            _ => Plan::for_rows(&design, params, None).unwrap().candidates,
        }
    }

    /// LSMR, its search for the shortest answer without a limit of its own.
    fn lsmr(iterations: usize) -> Candidate {
        Candidate::Lsmr(Limit { iterations, in_all: usize::MAX, gives_up: false })
    }

    /// LSMR on a limit that the caller has set.
    fn limited(iterations: usize) -> Candidate {
        Candidate::Lsmr(Limit { iterations, in_all: iterations, gives_up: false })
    }

    const SINGLE: Candidate = Candidate::Gram(Precision::Single);
    const DOUBLE: Candidate = Candidate::Gram(Precision::Double);

    #[test]
    fn every_method_has_a_second_draw_and_qr_behind_it() {
        let spir = Candidate::iterative(false);
        let whitened = [0, 1].map(|draw| Candidate::Whitened { draw });
        let augmented =
            [0, 1].map(|draw| Candidate::Augmented { draw, preconditioner: Preconditioner::Split });
        let [first, second] = Candidate::iterative(true);
        for (method, expected) in [
            (Method::Spir, vec![spir[0], spir[1], Candidate::Qr]),
            (Method::Fossils, vec![first, second, Candidate::Qr]),
            (Method::Whitened, vec![whitened[0], whitened[1], Candidate::Qr]),
            (Method::FgmresWlsir, vec![augmented[0], augmented[1], Candidate::Qr]),
            (Method::Lsmr, vec![lsmr(220), Candidate::Qr]),
            (Method::Qr, vec![Candidate::Qr]),
        ] {
            let found = on_dense_rows(&asking(method), 10.0);
            assert_eq!(found, expected);
            assert_eq!(found[0].method(), method);
        }
    }

    #[test]
    fn the_condition_and_what_is_kept_decide_the_precision_of_gram() {
        let [first, second] = [0, 1].map(|draw| Candidate::Whitened { draw });
        let gram = asking(Method::Gram);
        assert_eq!(on_dense_rows(&gram, 10.0), [SINGLE, DOUBLE, first, second, Candidate::Qr]);
        assert_eq!(on_dense_rows(&gram, 1e4), [DOUBLE, first, second, Candidate::Qr]);
        assert_eq!(on_dense_rows(&gram, 1e9), [DOUBLE, first, second, Candidate::Qr]);
        let kept = Params { keep_factor: true, ..gram.clone() };
        assert_eq!(on_dense_rows(&kept, 10.0)[0], DOUBLE);
        let single = Params { dtype_work: Some(Precision::Single), ..gram };
        assert_eq!(on_dense_rows(&single, 1e4), [SINGLE, first, second, Candidate::Qr]);
        assert!(!on_dense_rows(&asking(Method::Auto), 1e9).contains(&SINGLE));
    }

    #[test]
    fn digits_take_the_place_of_floating_point_where_there_is_a_unit_and_columns_are_many() {
        let [three, four] = [3, 4].map(|digits| Candidate::Gram(Precision::Digits(digits)));
        let [first, second] = [0, 1].map(|draw| Candidate::Whitened { draw });
        let (gram, rest) = (asking(Method::Gram), [first, second, Candidate::Qr]);
        let on =
            |unit, d, params: &Params, condition| with_unit(unit, || on_dense_columns(d, params, condition));
        let emulated = Some(Unit::Emulated);
        assert_eq!(on(emulated, 128, &gram, 10.0)[..2], [three, four]);
        assert_eq!(on(emulated, 128, &gram, 1e5), [&[four], &rest[..]].concat());
        assert_eq!(on(emulated, 128, &gram, 1e9), [&[four], &rest[..]].concat());
        assert_eq!(on(emulated, 127, &gram, 10.0)[..2], [SINGLE, DOUBLE]);
        assert_eq!(on(None, 128, &gram, 10.0)[..2], [SINGLE, DOUBLE]);
        let kept = Params { keep_factor: true, ..gram.clone() };
        assert_eq!(on(emulated, 128, &kept, 10.0)[0], DOUBLE);
        let single = Params { dtype_work: Some(Precision::Single), ..gram };
        assert_eq!(on(emulated, 128, &single, 10.0)[0], SINGLE);
        let auto = on(emulated, 128, &asking(Method::Auto), 10.0);
        assert_eq!(auto[0], three);
        assert_eq!([three, four].map(Candidate::describe), ["gram (three digits)", "gram (four digits)"]);
        assert_eq!(Precision::Digits(3).limit(), 1e5);
        assert_eq!(Precision::Digits(4).limit(), 1e7);
    }

    #[test]
    fn qr_follows_lsmr_where_nobody_has_set_a_limit_and_it_takes_no_longer() {
        let ask = asking(Method::Lsmr);
        let ask_few = Params { max_iter: Some(20), ..ask.clone() };
        assert_eq!(on_dense_rows(&ask_few, 10.0), [limited(20)]);
        assert_eq!(on_sparse_rows(&ask, (60, 40), 0), [lsmr(500), Candidate::Qr]);
        assert_eq!(on_sparse_rows(&ask_few, (60, 40), 0), [limited(20)]);
        // An entry in two thousand, whichever way round.
        assert_eq!(on_sparse_rows(&ask, (2000, 2000), 0), [lsmr(LONGEST)]);
        assert_eq!(on_sparse_rows(&ask, (200_000, 40), 0), [lsmr(500)]);
    }

    #[test]
    fn auto_factors_sparse_rows_first_where_that_is_cheap_and_never_where_there_are_too_many_columns() {
        let auto = asking(Method::Auto);
        let [first, second] = Candidate::iterative(false);
        let shape = (20_000, 300);
        // As many products as the entries of a read at once, and ten times as many.
        let [DOUBLE, Candidate::Cg(limit), rest @ ..] = &on_sparse_rows(&auto, shape, 300)[..] else {
            panic!("a cheap factor first")
        };
        assert!(limit.gives_up && limit.iterations >= FEWEST_ITERATIONS);
        assert_eq!(rest, [first, second, Candidate::Qr]);
        let dear = on_sparse_rows(&auto, shape, 10_000_000);
        let [Candidate::Cg(later), DOUBLE, ..] = &dear[..] else { panic!("a dear factor later") };
        assert!(later.gives_up && later.iterations > 4 * CHEAP_FACTOR);
        // QR would take longer than all iterations.
        assert_eq!(on_sparse_rows(&auto, (3000, 11_000), 300), [Candidate::cg(&auto, 3000, 11_000)]);
        assert_eq!(on_sparse_rows(&auto, (60, 40), 0), [Candidate::Qr]);
        let [Candidate::Cg(few), Candidate::SparseCholesky, Candidate::Shifted, patient] =
            on_sparse_rows(&auto, (50_000, LARGEST_GRAM + 1), 0)[..]
        else {
            panic!("no dense factor")
        };
        assert!(few.gives_up && few.iterations == WORTH_A_SPARSE_FACTOR);
        assert_eq!(patient, Candidate::cg(&auto, 50_000, LARGEST_GRAM + 1));
        let kept = Params { keep_factor: true, ..auto };
        assert!(on_sparse_rows(&kept, shape, 10_000_000).iter().all(|c| !matches!(c, Candidate::Cg(_))));
    }

    #[test]
    fn qr_by_name_is_that_of_the_rows_where_they_are_few_and_dense() {
        let instance = Instance::new(6, 20);
        let params = asking(Method::Qr);
        for form in forms() {
            let problem = instance.problem(form, &[0.0]);
            let design = Design::new(&Context::new(1), &problem).unwrap();
            assert_eq!(is_dual(&design, &params), !form.sparse);
            assert!(!is_dual(&design, &Params { keep_factor: true, ..params.clone() }));
            let plan = Plan::for_wide_rows(&design, &params, false).unwrap();
            assert_eq!(plan.candidates, [Candidate::QrOfRows, Candidate::Qr]);
        }
    }

    #[test]
    fn operators_are_asked_for_products_alone() {
        let spir = ProductCandidate::iterative(false);
        let plan = |d: usize, params: &Params| Plan::for_products(50_000, d, params);
        let candidates = |d: usize, method: Method| plan(d, &asking(method)).unwrap().candidates;
        let lsmr = |iterations: usize, in_all: usize, gives_up: bool| {
            ProductCandidate::Lsmr(Limit { iterations, in_all, gives_up })
        };
        assert_eq!(candidates(199, Method::Auto), spir);
        let [first, second] = spir;
        assert_eq!(candidates(1000, Method::Auto), [lsmr(50, usize::MAX, true), first, second]);
        let fewer = plan(1000, &Params { max_iter: Some(7), ..Params::default() }).unwrap();
        assert_eq!(fewer.candidates, [lsmr(7, 7, true), first, second]);
        assert_eq!(candidates(LARGEST_FACTOR + 1, Method::Auto), [lsmr(LONGEST, usize::MAX, false)]);
        assert_eq!(candidates(30, Method::Lsmr), [lsmr(400, usize::MAX, false)]);
        assert_eq!(candidates(30, Method::Fossils), ProductCandidate::iterative(true));
        let of_rows =
            [Method::Gram, Method::SparseCholesky, Method::Whitened, Method::FgmresWlsir, Method::Qr];
        for method in of_rows {
            let Err(refusal) = plan(30, &asking(method)) else { panic!("{method:?}") };
            assert!(refusal.to_string().contains(method.name()), "{refusal}");
        }
        assert!(plan(30, &Params { certify: true, ..Params::default() }).is_err());
    }

    #[test]
    fn sketches_grow_with_the_columns_and_with_the_draw() {
        let instance = Instance::new(2000, 60);
        for form in forms().take(2) {
            let design = Design::new(&Context::new(1), &instance.problem(form, &[0.0])).unwrap();
            let rows = |candidate: Candidate| candidate.sketch(&design, &Params::default()).rows;
            assert_eq!(rows(Candidate::Whitened { draw: 0 }), 120);
            assert_eq!(rows(Candidate::Whitened { draw: 1 }), 240);
            // Of fewer than 40 d rows, a sketch of 12 d would be no sketch.
            assert_eq!(rows(Candidate::iterative(false)[0]), 240);
        }
        let tall = Instance::new(2000, 12);
        let sizes = [false, true].map(|sparse| {
            let form = forms().find(|form| form.sparse == sparse).unwrap();
            let design = Design::new(&Context::new(1), &tall.problem(form, &[0.0])).unwrap();
            Candidate::iterative(true)[0].sketch(&design, &Params::default()).rows
        });
        assert_eq!(sizes, [144, 48]);
        assert_eq!([SINGLE, lsmr(9), Candidate::Qr].map(Candidate::draw), [None; 3]);
    }
}
