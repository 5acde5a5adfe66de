//! Householder QR of eight columns: the innermost step of every QR here.
//!
//! The columns are read and written once per reflector. While reflector j is applied to the columns right
//! of it, the next of them is complete first, and its products with all eight columns are summed on the
//! way: they hold the norm that reflector j + 1 is made of, what it needs to be applied, and its products
//! with the reflectors before it, from which T is built.
//!
//! Lengths are taken by plain sums of squares; the caller scales columns to order one.

use crate::simd::kernel;
use crate::simd::lanes::Lanes;

/// Eight by eight numbers.
pub(super) type Tile = [[f64; 8]; 8];

/// A column whose part below the diagonal is shorter than the root of this counts as zero there.
const NEGLIGIBLE: f64 = 1e-290;

kernel! {
    /// Factorises eight columns: `top` holds their first eight rows, row by row, `bottom` the others,
    /// eight rows to a tile, column by column.
    ///
    /// On return `top` holds R on and above its diagonal, and the reflectors v below it and in `bottom`
    /// (their leading ones are not stored); Q = I - V T V' with the upper triangle `t`, column by column.
    pub(super) fn factorise_panel<V>(top: &mut Tile, bottom: &mut [Tile], t: &mut Tile) -> () {
        let mut products = [V::splat(0.0); 8];
        for tile in bottom.iter() {
            let first = V::load(&tile[0]);
            for l in 0..8 {
                products[l] = V::load(&tile[l]).mul_add(first, products[l]);
            }
        }
        let products = V::sums(products);
        let products = reflector::<V, 0>(products, top, bottom, t);
        let products = reflector::<V, 1>(products, top, bottom, t);
        let products = reflector::<V, 2>(products, top, bottom, t);
        let products = reflector::<V, 3>(products, top, bottom, t);
        let products = reflector::<V, 4>(products, top, bottom, t);
        let products = reflector::<V, 5>(products, top, bottom, t);
        let products = reflector::<V, 6>(products, top, bottom, t);
        reflector::<V, 7>(products, top, bottom, t);
    }
}

/// Makes reflector J and applies it. `products` are those of column J with every column, over `bottom`;
/// those of column J + 1 are returned.
#[inline(always)]
fn reflector<V: Lanes, const J: usize>(products: V, top: &mut Tile, bottom: &mut [Tile], t: &mut Tile) -> V {
    let mut products = products;
    for i in J + 1..8 {
        products = V::load(&top[i]).mul_add(V::splat(top[i][J]), products);
    }
    let alpha = top[J][J];
    let tail = products.to_array()[J];
    let (beta, tau, scale) = if tail < NEGLIGIBLE {
        (alpha, 0.0, 0.0)
    } else {
        let beta = -alpha.mul_add(alpha, tail).sqrt().copysign(alpha);
        (beta, (beta - alpha) / beta, (alpha - beta).recip())
    };
    // v'(column l) right of J, v'(reflector l) left of it.
    let products = products.mul_add(V::splat(scale), V::load(&top[J])).to_array();
    t[J] = next_column_of_t::<V, J>(t, &products, tau);
    let factors: [f64; 8] = std::array::from_fn(|l| if l > J { -tau * products[l] } else { 0.0 });

    let row = V::load(&factors);
    row.add(V::load(&top[J])).store(&mut top[J]);
    top[J][J] = beta;
    for i in J + 1..8 {
        let v = top[i][J] * scale;
        row.mul_add(V::splat(v), V::load(&top[i])).store(&mut top[i]);
        top[i][J] = v;
    }
    apply_and_look_ahead::<V, J>(bottom, scale, &factors)
}

/// Column J of T is -tau T V'v, with tau on the diagonal.
#[inline(always)]
fn next_column_of_t<V: Lanes, const J: usize>(t: &Tile, products: &[f64; 8], tau: f64) -> [f64; 8] {
    let mut column = V::splat(0.0);
    for l in 0..J {
        column = V::load(&t[l]).mul_add(V::splat(products[l]), column);
    }
    let mut column = column.mul(V::splat(-tau)).to_array();
    column[J] = tau;
    column
}

#[inline(always)]
fn apply_and_look_ahead<V: Lanes, const J: usize>(bottom: &mut [Tile], scale: f64, factors: &[f64; 8]) -> V {
    let scale = V::splat(scale);
    let factors = factors.map(V::splat);
    let mut products = [V::splat(0.0); 8];
    for tile in bottom {
        let v = V::load(&tile[J]).mul(scale);
        v.store(&mut tile[J]);
        if J == 7 {
            continue;
        }
        let next = v.mul_add(factors[(J + 1) % 8], V::load(&tile[(J + 1) % 8]));
        next.store(&mut tile[(J + 1) % 8]);
        products[(J + 1) % 8] = next.mul_add(next, products[(J + 1) % 8]);
        products[J] = v.mul_add(next, products[J]);
        for l in 0..J {
            products[l] = V::load(&tile[l]).mul_add(next, products[l]);
        }
        for l in J + 2..8 {
            let column = v.mul_add(factors[l], V::load(&tile[l]));
            column.store(&mut tile[l]);
            products[l] = column.mul_add(next, products[l]);
        }
    }
    V::sums(products)
}
