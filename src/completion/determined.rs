//! What entries determine of a matrix of rank k, without a penalty, by counting them.
//!
//! A line with fewer than k entries has a family of solutions, and its entries tell nothing of the other side: it is peeled
//! off, and so again, until what is left is the k-core of the graph of rows and columns. A connected part of the core with
//! fewer entries than degrees of freedom, k (m + n - k), is not determined either; and nothing is between two parts, each of
//! which has its own basis. What is left may be determined, and is for almost all matrices of that rank unless parts hang
//! together by a few lines only.

use super::factors::Factor;
use super::freedom::{Freedom, Parts};
use crate::error::Result;
use crate::linalg::Scalar;
use crate::memory::{collected, copied, push, zeros};
use crate::parallel::Context;

/// A line without entries.
pub const EMPTY: i32 = -1;
/// A line that was peeled off, or is in a part with too few entries.
pub const UNDETERMINED: i32 = -2;
/// A line of the core whose part has no number yet.
const UNVISITED: i32 = i32::MAX;
/// Lines after which an interrupt is heard.
const PIECE: usize = 1 << 12;
/// What memory is for.
const GRAPH: &str = "the graph of rows and columns";

/// The number of its part for each line, [`EMPTY`] or [`UNDETERMINED`].
pub struct Determined {
    /// Of rows.
    pub rows: Vec<i32>,
    /// Of columns.
    pub columns: Vec<i32>,
    /// How many parts there are.
    pub parts: usize,
    /// What is free within parts, where that was looked for and found.
    pub free: Option<Freedom>,
}

impl Determined {
    /// By those entries of rows between `ends` that are `kept`; of several for one place, which are neighbours, one counts.
    pub fn of(
        context: &Context,
        (ends, indices): (&[u64], &[u32]),
        columns: usize,
        rank: usize,
        kept: impl Fn(usize, usize) -> bool,
    ) -> Result<Self> {
        let graph = Graph::new(context, (ends, indices), columns, kept)?;
        let mut marks = graph.peeled(context, rank)?;
        let parts = graph.number_parts(context, rank, &mut marks)?;
        let columns = copied(&marks[graph.rows..], GRAPH)?;
        marks.truncate(graph.rows);
        Ok(Self { rows: marks, columns, parts, free: None })
    }

    /// Looks for what is free at factors of that rank, beside entries of rows between `ends`.
    pub fn look<T: Scalar>(
        &mut self,
        context: &Context,
        entries: (&[u64], &[u32]),
        factors: (&Factor<T>, &Factor<T>),
    ) -> Result<()> {
        let parts = Parts { rows: &self.rows, columns: &self.columns, count: self.parts };
        self.free = Freedom::of(context, entries, &parts, factors)?;
        Ok(())
    }

    /// True of an entry that is determined.
    pub fn holds(&self, i: usize, j: usize) -> bool {
        let connected = self.rows[i] >= 0 && self.rows[i] == self.columns[j];
        connected && self.free.as_ref().is_none_or(|free| !free.moves(i, j))
    }
}

/// How many parts the graph of rows and columns falls into, lines without entries aside.
pub fn count_parts(context: &Context, (ends, indices): (&[u64], &[u32]), columns: usize) -> Result<usize> {
    let mut above = collected(0..columns as u32, GRAPH)?;
    for rows in context.pieces(0..ends.len() - 1) {
        for i in rows? {
            let row = &indices[ends[i] as usize..ends[i + 1] as usize];
            for pair in row.windows(2) {
                let (left, right) = (root(&mut above, pair[0]), root(&mut above, pair[1]));
                above[left.max(right) as usize] = left.min(right);
            }
        }
    }
    let mut seen = zeros(columns, GRAPH)?;
    indices.iter().for_each(|&j| seen[j as usize] = true);
    Ok((0..columns).filter(|&j| seen[j] && above[j] as usize == j).count())
}

/// The first column of what a column is joined with, so far; paths to it are halved on the way.
fn root(above: &mut [u32], mut j: u32) -> u32 {
    while above[j as usize] != j {
        above[j as usize] = above[above[j as usize] as usize];
        j = above[j as usize];
    }
    j
}

/// Rows, and columns after them, and the entries that join them.
struct Graph {
    rows: usize,
    ends: Vec<usize>,
    /// Lines of the other side.
    neighbours: Vec<u32>,
}

impl Graph {
    fn new(
        context: &Context,
        (ends, indices): (&[u64], &[u32]),
        columns: usize,
        kept: impl Fn(usize, usize) -> bool,
    ) -> Result<Self> {
        let rows = ends.len() - 1;
        let entries = |i: usize| {
            let row = &indices[ends[i] as usize..ends[i + 1] as usize];
            let first = |k: usize| k == 0 || row[k] != row[k - 1];
            let kept = &kept;
            (0..row.len()).filter(move |&k| first(k) && kept(i, row[k] as usize)).map(move |k| row[k])
        };
        let mut places: Vec<usize> = zeros(rows + columns + 1, GRAPH)?;
        for piece in context.pieces(0..rows) {
            for i in piece? {
                for j in entries(i) {
                    places[i + 1] += 1;
                    places[rows + j as usize + 1] += 1;
                }
            }
        }
        for v in 0..rows + columns {
            places[v + 1] += places[v];
        }
        let mut next = copied(&places[rows..], GRAPH)?;
        let mut neighbours = zeros(places[rows + columns], GRAPH)?;
        for piece in context.pieces(0..rows) {
            for i in piece? {
                for (j, own) in entries(i).zip(places[i]..) {
                    neighbours[own] = j;
                    neighbours[next[j as usize]] = i as u32;
                    next[j as usize] += 1;
                }
            }
        }
        Ok(Self { rows, ends: places, neighbours })
    }

    fn count(&self) -> usize {
        self.ends.len() - 1
    }

    fn others(&self, line: usize) -> impl Iterator<Item = usize> {
        let first = if line < self.rows { self.rows } else { 0 };
        self.neighbours[self.ends[line]..self.ends[line + 1]].iter().map(move |&other| first + other as usize)
    }

    /// Marks what is not in the core.
    fn peeled(&self, context: &Context, rank: usize) -> Result<Vec<i32>> {
        let mut degrees = collected(self.ends.windows(2).map(|ends| ends[1] - ends[0]), GRAPH)?;
        let mark = |&degree: &usize| match degree {
            0 => EMPTY,
            degree if degree < rank => UNDETERMINED,
            _ => UNVISITED,
        };
        let mut marks = collected(degrees.iter().map(mark), GRAPH)?;
        let mut queue = collected((0..self.count()).filter(|&line| marks[line] == UNDETERMINED), GRAPH)?;
        let mut done = 0;
        while let Some(line) = queue.pop() {
            done += 1;
            if done % PIECE == 0 {
                context.tick()?;
            }
            for other in self.others(line) {
                degrees[other] -= 1;
                if marks[other] == UNVISITED && degrees[other] < rank {
                    marks[other] = UNDETERMINED;
                    push(&mut queue, other, GRAPH)?;
                }
            }
        }
        Ok(marks)
    }

    /// Numbers the parts of the core by their first lines, and marks those with too few entries; how many are left.
    fn number_parts(&self, context: &Context, rank: usize, marks: &mut [i32]) -> Result<usize> {
        let (mut number, mut found) = (0, Vec::new());
        for first in 0..self.count() {
            if first % PIECE == 0 {
                context.tick()?;
            }
            if marks[first] != UNVISITED {
                continue;
            }
            found.clear();
            marks[first] = number;
            push(&mut found, first, GRAPH)?;
            let (mut at, mut ends) = (0, 0);
            while at < found.len() {
                if at % PIECE == 0 {
                    context.tick()?;
                }
                for other in self.others(found[at]) {
                    ends += usize::from(marks[other] >= 0);
                    if marks[other] == UNVISITED {
                        marks[other] = number;
                        push(&mut found, other, GRAPH)?;
                    }
                }
                at += 1;
            }
            // Every entry was met from both of its ends.
            if ends / 2 < rank * (found.len() - rank) {
                found.iter().for_each(|&line| marks[line] = UNDETERMINED);
            } else {
                number += 1;
            }
        }
        Ok(number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[u32]], columns: usize, rank: usize) -> Determined {
        let mut ends = vec![0];
        rows.iter().for_each(|row| ends.push(ends[ends.len() - 1] + row.len() as u64));
        let indices = rows.concat();
        let found = Determined::of(&Context::new(1), (&ends, &indices), columns, rank, |_, _| true).unwrap();
        let parts = count_parts(&Context::new(1), (&ends, &indices), columns).unwrap();
        assert!(rank > 1 || found.parts == parts);
        found
    }

    #[test]
    fn lines_are_peeled_off_one_after_the_other() {
        // A full block of three by three, a row with two of its columns, and a chain that hangs on it.
        let found = of(&[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2, 3], &[0, 1], &[3, 4], &[]], 6, 2);
        assert_eq!(found.rows, [0, 0, 0, 0, UNDETERMINED, EMPTY]);
        assert_eq!(found.columns, [0, 0, 0, UNDETERMINED, UNDETERMINED, EMPTY]);
        assert!(found.holds(3, 2) && !found.holds(4, 4) && !found.holds(0, 3));
        // With three components the row with two entries goes, and the block, all of whose entries are needed, stays.
        let found = of(&[&[0, 1, 2], &[0, 1, 2], &[0, 1, 2, 3], &[0, 1], &[3, 4], &[]], 6, 3);
        assert_eq!(found.rows[..4], [0, 0, 0, UNDETERMINED]);
    }

    #[test]
    fn parts_are_numbered_and_told_from_one_another() {
        let found = of(&[&[0, 1], &[2, 3], &[1, 0], &[3, 2], &[4]], 5, 1);
        assert_eq!((found.parts, &found.rows[..]), (3, &[0, 1, 0, 1, 2][..]));
        assert!(found.holds(0, 1) && !found.holds(0, 2));
        let found = of(&[&[0, 1], &[2, 3], &[0, 1], &[2, 3], &[4]], 5, 2);
        assert_eq!((found.parts, &found.columns[..]), (2, &[0, 0, 1, 1, UNDETERMINED][..]));
    }

    #[test]
    fn a_part_with_fewer_entries_than_degrees_of_freedom_is_not_determined() {
        // Every line has two entries, but a ring of n rows and n columns has 2 n entries for 2 (2 n - 2) unknowns.
        let found = of(&[&[0, 1], &[1, 2], &[2, 3], &[3, 0]], 4, 2);
        assert_eq!(
            (found.parts, found.rows, found.columns),
            (0, vec![UNDETERMINED; 4], vec![UNDETERMINED; 4])
        );
        // Entries for one place count once.
        let found = of(&[&[0, 0, 1], &[1]], 2, 2);
        assert_eq!(found.parts, 0);
    }
}
