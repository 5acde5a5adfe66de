//! What rows and columns are called, as numbers: those that occur in increasing order, and where others are among these.

use crate::error::{Error, Result};
use crate::memory::{collected, filled, push, zeros};
use crate::parallel::Context;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// What memory is for.
const IDS: &str = "the identities of rows and columns";
/// Identities that are looked for at a time.
const BLOCK: usize = 1 << 16;
/// Identities that are sorted at a time.
const RUN: usize = 1 << 14;
/// Known identities for each one that is looked for, from which on a table of them is not worth while.
const FEW: usize = 8;

/// Identities as they lie in memory.
#[derive(Clone, Copy, Debug)]
pub enum Ids<'a> {
    /// Numbers.
    I32(&'a [i32]),
    /// Numbers.
    I64(&'a [i64]),
    /// Numbers.
    U64(&'a [u64]),
    /// Records of so many bytes, but for the zeros in the end.
    Bytes(&'a [u8], usize),
    /// Records of so many characters, but for the zeros in the end.
    Text(&'a [u32], usize),
    /// Bytes, and where those of each end.
    Names(&'a [u8], &'a [i64]),
}

/// What identities are compared by.
trait Key: Copy + Ord + Hash + Send + Sync {}
impl<K: Copy + Ord + Hash + Send + Sync> Key for K {}

/// The same code for identities of any kind: how many there are, and what each is compared by.
macro_rules! each {
    ($ids:expr, |$count:ident, $key:ident| $work:expr) => {
        match $ids {
            Ids::I32(ids) => each!(@ ids.len(), move |k: usize| ids[k], $count, $key, $work),
            Ids::I64(ids) => each!(@ ids.len(), move |k: usize| ids[k], $count, $key, $work),
            Ids::U64(ids) => each!(@ ids.len(), move |k: usize| ids[k], $count, $key, $work),
            Ids::Bytes(ids, width) => {
                each!(@ ids.len() / width, move |k: usize| record(ids, width, k), $count, $key, $work)
            }
            Ids::Text(ids, width) => {
                each!(@ ids.len() / width, move |k: usize| record(ids, width, k), $count, $key, $work)
            }
            Ids::Names(bytes, ends) => {
                each!(@ ends.len(), move |k: usize| name(bytes, ends, k), $count, $key, $work)
            }
        }
    };
    (@ $len:expr, $of:expr, $count:ident, $key:ident, $work:expr) => {{
        let ($count, $key) = ($len, $of);
        $work
    }};
}

fn record<U: Copy + Default + PartialEq>(ids: &[U], width: usize, k: usize) -> &[U] {
    let all = &ids[k * width..(k + 1) * width];
    &all[..all.iter().rposition(|unit| *unit != U::default()).map_or(0, |last| last + 1)]
}

fn name<'a>(bytes: &'a [u8], ends: &[i64], k: usize) -> &'a [u8] {
    let start = k.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start as usize..ends[k] as usize]
}

/// Where each identity is that occurs, in increasing order, and their numbers: none, and no places either, where the
/// identities are such numbers themselves.
pub type Numbered = (Vec<i64>, Option<Vec<i32>>);

/// Identities numbered in their order.
pub fn numbered(context: &Context, ids: Ids<'_>) -> Result<Numbered> {
    let small = match ids {
        Ids::I32(ids) => by_table(context, ids.len(), |k| i64::from(ids[k]))?,
        Ids::I64(ids) => by_table(context, ids.len(), |k| ids[k])?,
        _ => None,
    };
    match small {
        Some(found) => Ok(found),
        None => each!(ids, |count, key| hashed(context, count, key)).map(|(at, numbers)| (at, Some(numbers))),
    }
}

/// [`numbered`] of numbers none of which is so large that a table of them would be in the way.
fn by_table(context: &Context, count: usize, key: impl Fn(usize) -> i64) -> Result<Option<Numbered>> {
    let (mut least, mut most) = (0, -1);
    for piece in context.pieces(0..count) {
        piece?.for_each(|k| (least, most) = (key(k).min(least), key(k).max(most)));
    }
    if least < 0 || most >= count as i64 {
        return Ok(None);
    }
    let mut seen = zeros((most + 1) as usize, IDS)?;
    for piece in context.pieces(0..count) {
        piece?.for_each(|k| seen[key(k) as usize] = true);
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    if distinct == seen.len() {
        return Ok(Some((Vec::new(), None)));
    }
    if seen.len() > (count / 4).max(BLOCK) {
        return Ok(None);
    }
    number(distinct)?;
    let mut numbers = zeros(seen.len(), IDS)?;
    let mut next = 0;
    for (number, seen) in numbers.iter_mut().zip(&seen) {
        *number = next;
        next += i32::from(*seen);
    }
    let (mut places, mut out) = (filled(-1, distinct, IDS)?, zeros(count, IDS)?);
    for piece in context.pieces(0..count) {
        for k in piece? {
            out[k] = numbers[key(k) as usize];
            let place: &mut i64 = &mut places[out[k] as usize];
            *place = if *place < 0 { k as i64 } else { *place };
        }
    }
    Ok(Some((places, Some(out))))
}

/// [`numbered`] of anything.
fn hashed<K: Key>(
    context: &Context,
    count: usize,
    key: impl Fn(usize) -> K + Sync,
) -> Result<(Vec<i64>, Vec<i32>)> {
    let (mut first, mut numbers) = (Vec::new(), zeros(count, IDS)?);
    let mut table = HashMap::new();
    for piece in context.pieces(0..count) {
        for k in piece? {
            make_room(&mut table)?;
            numbers[k] = match table.entry(key(k)) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    let next = number(first.len())?;
                    push(&mut first, k as i64, IDS)?;
                    *entry.insert(next)
                }
            };
        }
    }
    drop(table);
    let order = sorted(context, first.len(), |k| key(first[k] as usize))?;
    let mut ranks = zeros(order.len(), IDS)?;
    order.iter().zip(0..).for_each(|(&k, rank)| ranks[k as usize] = rank);
    for piece in context.pieces(0..count) {
        numbers[piece?].iter_mut().for_each(|number| *number = ranks[*number as usize]);
    }
    Ok((collected(order.iter().map(|&k| first[k as usize]), IDS)?, numbers))
}

/// A number of 32 bits.
fn number(count: usize) -> Result<i32> {
    let most = i32::MAX;
    i32::try_from(count).map_err(|_| {
        Error::value("X", format!("a list of {count} rows or columns"), format!("at most {most}"))
    })
}

/// Makes room for one more.
fn make_room<K: Key, V>(table: &mut HashMap<K, V>) -> Result<()> {
    if table.len() < table.capacity() {
        return Ok(());
    }
    let bytes = 2 * (table.capacity() as u128 + 1) * size_of::<(K, V)>() as u128;
    table.try_reserve(1).map_err(|_| Error::Allocation { bytes, purpose: IDS })
}

/// Numbers in the order of what they stand for.
pub fn order(context: &Context, ids: Ids<'_>) -> Result<Vec<u32>> {
    each!(ids, |count, key| sorted(context, count, key))
}

/// The same, by merging what has been sorted in pieces.
fn sorted<K: Key>(context: &Context, count: usize, key: impl Fn(usize) -> K + Sync) -> Result<Vec<u32>> {
    number(count)?;
    let key = |k: u32| key(k as usize);
    let mut order = collected(0..count as u32, IDS)?;
    let sort = |(): &mut (), _: usize, run: &mut [u32]| run.sort_unstable_by_key(|&k| key(k));
    context.map_parts(order.chunks_mut(RUN), || (), sort)?;
    let (mut spare, mut width) = (zeros(count, IDS)?, RUN);
    while width < count {
        let merge = |(): &mut (), _: usize, (runs, out): (&[u32], &mut [u32])| {
            let (mut left, mut right) = runs.split_at(width.min(runs.len()));
            for out in out {
                let from = match (left.first(), right.first()) {
                    (Some(&i), Some(&j)) if key(j) < key(i) => &mut right,
                    (None, _) => &mut right,
                    _ => &mut left,
                };
                *out = from[0];
                *from = &from[1..];
            }
        };
        let parts = order.chunks(2 * width).zip(spare.chunks_mut(2 * width));
        context.map_parts(parts, || (), merge)?;
        std::mem::swap(&mut order, &mut spare);
        width *= 2;
    }
    Ok(order)
}

/// Where identities are among those that are known, which are in increasing order: -1 for others.
pub fn found(context: &Context, known: Ids<'_>, ids: Ids<'_>) -> Result<Vec<i64>> {
    match (known, ids) {
        (Ids::I64(known), Ids::I32(ids)) => found_numbers(context, known, ids.len(), |k| i64::from(ids[k])),
        (Ids::I64(known), Ids::I64(ids)) => found_numbers(context, known, ids.len(), |k| ids[k]),
        (Ids::U64(known), Ids::U64(ids)) => {
            find(context, (known.len(), |k| known[k]), (ids.len(), |k| ids[k]))
        }
        (Ids::Bytes(known, width), Ids::Bytes(ids, other)) => find(
            context,
            (known.len() / width, |k| record(known, width, k)),
            (ids.len() / other, |k| record(ids, other, k)),
        ),
        (Ids::Text(known, width), Ids::Text(ids, other)) => find(
            context,
            (known.len() / width, |k| record(known, width, k)),
            (ids.len() / other, |k| record(ids, other, k)),
        ),
        _ => Err(Error::Internal("identities of different kinds are compared".into())),
    }
}

fn found_numbers(
    context: &Context,
    known: &[i64],
    count: usize,
    key: impl Fn(usize) -> i64 + Sync,
) -> Result<Vec<i64>> {
    let all = known.len() as i64;
    if known.first() != Some(&0) || known.last() != Some(&(all - 1)) {
        return find(context, (known.len(), |k| known[k]), (count, key));
    }
    // They are their own numbers.
    let mut out = filled(-1, count, IDS)?;
    for piece in context.pieces(0..count) {
        for k in piece? {
            out[k] = if (0..all).contains(&key(k)) { key(k) } else { -1 };
        }
    }
    Ok(out)
}

fn find<K: Key>(
    context: &Context,
    (known, of_known): (usize, impl Fn(usize) -> K + Sync),
    (count, key): (usize, impl Fn(usize) -> K + Sync),
) -> Result<Vec<i64>> {
    let mut table = HashMap::new();
    if count >= known / FEW {
        for piece in context.pieces(0..known) {
            for k in piece? {
                make_room(&mut table)?;
                table.insert(of_known(k), k as i64);
            }
        }
    }
    let mut out = filled(-1, count, IDS)?;
    let work = |(): &mut (), block: usize, out: &mut [i64]| {
        for (k, out) in (block * BLOCK..).zip(out) {
            let key = key(k);
            *out = match table.is_empty() {
                true => place_of(key, known, &of_known),
                false => table.get(&key).copied().unwrap_or(-1),
            };
        }
    };
    context.map_parts(out.chunks_mut(BLOCK), || (), work)?;
    Ok(out)
}

/// The place of one by halving what is left.
fn place_of<K: Key>(key: K, known: usize, of_known: impl Fn(usize) -> K) -> i64 {
    let (mut low, mut high) = (0, known);
    while low < high {
        let middle = low + (high - low) / 2;
        if of_known(middle) < key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low < known && of_known(low) == key { low as i64 } else { -1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Numbers below `bound`, each in steps of `step` from `first` on.
    fn drawn(count: usize, bound: f64, step: i64, first: i64) -> Vec<i64> {
        let stream = Stream::new(5, 0, 1);
        (0..count as u64).map(|k| first + step * (stream.uniform(k, 0) * bound) as i64).collect()
    }

    /// Whether numbers, and places of them among others, are what sorting gives.
    fn check(ids: &[i64], threads: usize) {
        let context = Context::new(threads);
        let (at, numbers) = numbered(&context, Ids::I64(ids)).unwrap();
        let mut expected = ids.to_vec();
        expected.sort_unstable();
        expected.dedup();
        let known: Vec<i64> = match &numbers {
            Some(_) => at.iter().map(|&k| ids[k as usize]).collect(),
            None => (0..=ids.iter().copied().max().unwrap_or(-1)).collect(),
        };
        assert_eq!(known, expected);
        let place = |id: &i64| expected.binary_search(id).map_or(-1, |place| place as i64);
        if let Some(numbers) = numbers {
            assert!(numbers.iter().zip(ids).all(|(&number, id)| i64::from(number) == place(id)));
            assert!(at.iter().take(20).all(|&k| !ids[..k as usize].contains(&ids[k as usize])));
        }
        for others in [&ids[..ids.len().min(3)], ids, &drawn(5000, 1e4, 7, -30)] {
            let found = found(&context, Ids::I64(&known), Ids::I64(others)).unwrap();
            assert!(found.iter().zip(others).all(|(&found, other)| found == place(other)));
        }
    }

    #[test]
    fn numbers_with_and_without_gaps_and_in_any_range_are_found_again() {
        for threads in [1, 3] {
            check(&[], threads);
            check(&drawn(3000, 50.0, 1, 0), threads);
            check(&drawn(3000, 50.0, 3, 0), threads);
            check(&drawn(3000, 1e9, 1, -7), threads);
            check(&drawn(70_000, 1e5, 1_000_003, i64::MAX - 1_000_003 * 100_000), threads);
        }
        let wide = [u64::MAX, 1 << 63, 3, u64::MAX];
        let (at, numbers) = numbered(&Context::new(1), Ids::U64(&wide)).unwrap();
        assert_eq!((at, numbers), (vec![2, 1, 0], Some(vec![2, 1, 0, 2])));
    }

    #[test]
    fn records_are_compared_without_the_zeros_in_their_end() {
        let context = Context::new(2);
        let (narrow, wide) = (b"b\0a\0ab", b"ab\0\0c\0\0\0a\0\0\0");
        let (at, numbers) = numbered(&context, Ids::Bytes(narrow, 2)).unwrap();
        assert_eq!((at, numbers), (vec![1, 2, 0], Some(vec![2, 0, 1])));
        let known = Ids::Bytes(b"a\0abb\0", 2);
        assert_eq!(found(&context, known, Ids::Bytes(wide, 4)).unwrap(), [1, -1, 0]);
        let units: Vec<u32> = wide.iter().map(|&unit| u32::from(unit) * 0x1000).collect();
        let (at, _) = numbered(&context, Ids::Text(&units, 4)).unwrap();
        assert_eq!(at, [2, 0, 1]);
        assert!(found(&context, known, Ids::Text(&units, 4)).is_err());
    }

    #[test]
    fn names_are_sorted_in_pieces_as_they_are_at_once() {
        let words: Vec<String> =
            drawn(50_000, 1e6, 1, 0).iter().map(|number| format!("{number:x}")).collect();
        let ends: Vec<i64> = words
            .iter()
            .scan(0, |end, word| {
                *end += word.len() as i64;
                Some(*end)
            })
            .collect();
        let bytes = words.concat();
        for threads in [1, 2] {
            let order = order(&Context::new(threads), Ids::Names(bytes.as_bytes(), &ends)).unwrap();
            assert!(order.windows(2).all(|pair| words[pair[0] as usize] <= words[pair[1] as usize]));
            let mut all = order.clone();
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..50_000));
        }
    }
}
