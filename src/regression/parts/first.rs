//! The first read of rows in parts: their means, and R of [A, B], weighted and centred.
//!
//! A part is centred about its own means, and merging puts a row for what they are away from those of all below the
//! triangles, so that large means cost no digits.

use crate::error::{Error, Result};
use crate::linalg::{Appending, RCOND, Triangle, exponent_of, largest_of, norm, times_power_of_two};
use crate::matrix::{Mat, Real, Source, power_of_two_below};
use crate::memory::{collected, copied, filled, zeros};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::parted::Whole;
use crate::regression::parts::triangle::triangle;
use crate::regression::problem::Problem;
use crate::state::run;
use serde::{Deserialize, Serialize};

/// What is known of some rows.
#[derive(Serialize, Deserialize)]
pub(crate) struct First {
    /// Columns and targets.
    pub shape: (usize, usize),
    pub rows: u64,
    /// Rows of positive weight.
    present: u64,
    /// The largest root weight, and the least one that is not zero.
    heaviest: f64,
    lightest: f64,
    /// Norm of the root weights.
    weight_norm: f64,
    /// Sum of the logarithms of the positive weights.
    pub log_weight: f64,
    /// Of the columns and the targets; `None` if they are not centred.
    means: Option<Vec<f64>>,
    /// Powers of two that the columns of the triangle are to be multiplied by.
    exponents: Vec<i32>,
    /// R of [A, B], column after column; of the targets, what is below R of A has the right lengths and no more.
    #[serde(with = "run")]
    triangle: Vec<f64>,
    /// How many parts have rows of any weight, and of how many the triangle is had by products.
    pub parts: u64,
    pub by_products: u64,
}

const PURPOSE: &str = "a triangle of rows in parts";

impl First {
    /// Of no rows of any weight.
    fn nothing(rows: u64, (d, k): (usize, usize), fit_intercept: bool) -> Result<Self> {
        let width = d.saturating_add(k);
        Ok(Self {
            shape: (d, k),
            rows,
            present: 0,
            heaviest: 0.0,
            lightest: f64::INFINITY,
            weight_norm: 0.0,
            log_weight: 0.0,
            means: fit_intercept.then(|| zeros(width, PURPOSE)).transpose()?,
            exponents: zeros(width, PURPOSE)?,
            triangle: zeros(packed(width), PURPOSE)?,
            parts: 0,
            by_products: 0,
        })
    }

    /// Of the rows of a problem, whose ridge is not looked at; by reflections alone where products are not wanted.
    pub fn of_part<T: Real>(context: &Context, problem: &Problem<'_, T>, by_products: bool) -> Result<Self> {
        let ((n, d), k) = ((problem.design.nrows(), problem.design.ncols()), problem.targets.ncols());
        let nothing = Self::nothing(n as u64, (d, k), problem.fit_intercept)?;
        if n == 0 || problem.weights.is_some_and(|weights| weights.iter().all(|&weight| weight == 0.0)) {
            return Ok(nothing);
        }
        let mut design = Design::new(context, problem)?;
        let (mut r, mut is_product) = triangle(context, &design, by_products)?;
        let is_plain = |j: usize| {
            let largest = largest_of(r.col(j));
            norm(r.col(j)).is_finite() && (largest == 0.0 || (1e-100..=1e100).contains(&largest))
        };
        if !(0..d).all(is_plain) {
            let largest = design.largest_in_columns(context)?;
            design.equilibrate_columns(&largest)?;
            (r, is_product) = triangle(context, &design, by_products)?;
        }
        let unit = |j: usize| match j < d {
            true => design.column_scale(j),
            false => design.target_scale(j - d),
        };
        let exponent = |j: usize| if unit(j) == 0.0 { 0 } else { -exponent_of(unit(j)) };
        let means = design.means().into_iter().flatten().chain(design.target_means()).copied();
        let (heaviest, lightest, log_weight) = weights(context, problem.weights)?;
        Ok(Self {
            present: design.rows_present() as u64,
            heaviest,
            lightest,
            weight_norm: design.weight_norm(),
            log_weight,
            means: problem.fit_intercept.then(|| collected(means, PURPOSE)).transpose()?,
            exponents: collected((0..d + k).map(exponent), PURPOSE)?,
            triangle: in_columns(&r)?,
            parts: 1,
            by_products: u64::from(is_product),
            ..nothing
        })
    }

    /// Of all rows of several parts, in their order.
    pub fn merged(context: &Context, parts: &[Self]) -> Result<Self> {
        let Some(one) = parts.first() else { return Err(unsound()) };
        let (d, k) = one.shape;
        let (width, centred) = (d.saturating_add(k), one.means.is_some());
        let fits = |part: &Self| {
            part.shape == one.shape
                && part.means.is_some() == centred
                && part.means.as_ref().is_none_or(|means| means.len() == width)
                && (part.exponents.len(), part.triangle.len()) == (width, packed(width))
        };
        if !parts.iter().all(fits) {
            return Err(unsound());
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        let present = collected(parts.iter().filter(|part| part.present > 0), PURPOSE)?;
        let Some(&one) = present.first() else { return Self::nothing(rows, (d, k), centred) };
        let weight_norm = present.iter().fold(0.0f64, |norm, part| norm.hypot(part.weight_norm));
        let mean = |j: usize| {
            let of_part = |part: &Self| part.means.as_ref().map_or(0.0, |means| means[j]);
            let share = |part: &Self| (part.weight_norm / weight_norm).powi(2);
            let away = |part: &&Self| share(part) * (of_part(part) - of_part(one));
            of_part(one) + present.iter().map(away).sum::<f64>()
        };
        let means = centred.then(|| collected((0..width).map(mean), PURPOSE)).transpose()?;
        let largest = |j: usize| {
            let known = present.iter().filter(|part| part.column(j).iter().any(|&value| value != 0.0));
            known.map(|part| part.exponents[j]).max().unwrap_or(0)
        };
        let exponents = collected((0..width).map(largest), PURPOSE)?;
        let mut triangle = Triangle::of(one.in_units(&exponents)?)?;
        for part in &present[1..] {
            context.tick()?;
            triangle.append_triangle(&mut part.in_units(&exponents)?)?;
        }
        if let Some(means) = &means {
            let mut away = Mat::from_fn(present.len(), width, |part, j| match &present[part].means {
                Some(own) => times_power_of_two(own[j] - means[j], -exponents[j]),
                None => 0.0,
            })?;
            let lengths = collected(present.iter().map(|part| part.weight_norm), PURPOSE)?;
            let mut with = Appending::new(present.len(), width)?;
            triangle.append(&mut away, &filled(0.0, width, PURPOSE)?, &lengths, &mut with);
        }
        let triangle = in_columns(&triangle.into_mat())?;
        Ok(Self {
            shape: (d, k),
            rows,
            present: present.iter().map(|part| part.present).sum(),
            heaviest: present.iter().fold(0.0, |heaviest, part| part.heaviest.max(heaviest)),
            lightest: present.iter().fold(f64::INFINITY, |lightest, part| part.lightest.min(lightest)),
            weight_norm,
            log_weight: present.iter().map(|part| part.log_weight).sum(),
            means,
            exponents,
            triangle,
            parts: present.iter().map(|part| part.parts).sum(),
            by_products: present.iter().map(|part| part.by_products).sum(),
        })
    }

    /// The design of all rows, under ridges of which this is the largest, and R of [A, B] in its units.
    pub fn design<'a, T: Real, M: Source>(
        &self,
        source: M,
        ridge: f64,
    ) -> Result<(Design<'a, T, M>, Mat<f64>)> {
        let (d, k) = self.shape;
        if self.present == 0 {
            return Err(match self.rows {
                0 => Error::shape("A", "no rows", "at least one"),
                _ => Error::value("sample_weight", "zero everywhere", "at least one positive weight"),
            });
        }
        let length = |j: usize| times_power_of_two(norm(self.column(j)), self.exponents[j]);
        let lengths = collected((0..d + k).map(length), PURPOSE)?;
        if let Some(j) = lengths.iter().position(|length| !length.is_finite()) {
            let argument = if j < d { "A" } else { "b" };
            return Err(Error::value(argument, "so large that a norm overflows", "another scale"));
        }
        let is_constant = |&j: &usize| {
            let mean = |means: &Vec<f64>| means[j].abs();
            self.means.as_ref().is_some_and(|means| lengths[j] <= RCOND * mean(means) * self.weight_norm)
        };
        let target_scale =
            collected(lengths[d..].iter().map(|&length| power_of_two_below(length).recip()), PURPOSE)?;
        let target_norm = lengths[d..].iter().zip(&target_scale).map(|(length, scale)| length * scale);
        let whole = Whole {
            means: self.means.as_ref().map(|means| copied(&means[..d], PURPOSE)).transpose()?,
            constant: collected((0..d).filter(is_constant), PURPOSE)?,
            target_means: match &self.means {
                Some(means) => copied(&means[d..], PURPOSE)?,
                None => zeros(k, PURPOSE)?,
            },
            target_norm: collected(target_norm, PURPOSE)?,
            target_scale,
            lengths: copied(&lengths[..d], PURPOSE)?,
            weight_norm: self.weight_norm,
            heaviest: self.heaviest,
            lightest: self.lightest,
            present: self.present as usize,
            ridge,
        };
        let design = Design::of_whole(source, whole)?;
        let unit = |j: usize| if j < d { design.column_scale(j) } else { design.target_scale(j - d) };
        let r = Mat::from_fn(d + k, d + k, |i, j| match self.column(j).get(i) {
            Some(&value) if value != 0.0 && unit(j) != 0.0 => {
                times_power_of_two(value, self.exponents[j] + exponent_of(unit(j)))
            }
            _ => 0.0,
        })?;
        Ok((design, r))
    }

    /// The triangle, its columns over powers of two.
    fn in_units(&self, exponents: &[i32]) -> Result<Mat<f64>> {
        Mat::from_fn(exponents.len(), exponents.len(), |i, j| match self.column(j).get(i) {
            Some(&value) if value != 0.0 => times_power_of_two(value, self.exponents[j] - exponents[j]),
            _ => 0.0,
        })
    }

    /// A column of the triangle down to its diagonal.
    fn column(&self, j: usize) -> &[f64] {
        &self.triangle[packed(j)..packed(j + 1)]
    }
}

/// Numbers in the columns of a triangle before column `j`.
fn packed(j: usize) -> usize {
    j.saturating_mul(j + 1) / 2
}

/// The upper triangle of R, column after column.
fn in_columns(r: &Mat<f64>) -> Result<Vec<f64>> {
    collected((0..r.ncols()).flat_map(|j| &r.col(j)[..=j]).copied(), PURPOSE)
}

/// The largest root weight, the least one that is not zero, and the sum of the logarithms of the positive weights.
fn weights(context: &Context, weights: Option<&[f64]>) -> Result<(f64, f64, f64)> {
    let Some(weights) = weights else { return Ok((1.0, 1.0, 0.0)) };
    let (mut heaviest, mut lightest, mut logarithms) = (0.0f64, f64::INFINITY, 0.0);
    for rows in context.pieces(0..weights.len()) {
        for &weight in weights[rows?].iter().filter(|&&weight| weight > 0.0) {
            (heaviest, lightest) = (heaviest.max(weight), lightest.min(weight));
            logarithms += weight.ln();
        }
    }
    Ok((heaviest.sqrt(), lightest.sqrt(), logarithms))
}

fn unsound() -> Error {
    Error::State("its parts do not fit together".into())
}
