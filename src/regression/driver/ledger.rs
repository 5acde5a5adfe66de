//! What was done on the way to the answer, as it is told to the caller.

use std::time::Instant;

/// Something done on the way to the answer.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What.
    pub name: &'static str,
    /// Wall time.
    pub seconds: f64,
    /// Reads of the whole of A; of a linear operator, products with it and its transpose.
    pub reads: usize,
}

/// Sentences, and stages of which one is open.
pub(crate) struct Ledger {
    pub sentences: Vec<String>,
    pub stages: Vec<Stage>,
    start: Instant,
    reads: usize,
}

impl Ledger {
    pub fn new() -> Self {
        Self { sentences: Vec::new(), stages: Vec::new(), start: Instant::now(), reads: 0 }
    }

    /// Opens a stage.
    pub fn begin(&mut self) {
        (self.start, self.reads) = (Instant::now(), 0);
    }

    /// Counts reads of A in the open stage.
    pub fn read(&mut self, times: usize) {
        self.reads += times;
    }

    /// Closes the open stage.
    #[expect(clippy::disallowed_methods, reason = "there are few stages")]
    pub fn end(&mut self, name: &'static str) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.stages.push(Stage { name, seconds, reads: self.reads });
    }

    #[expect(clippy::disallowed_methods, reason = "a sentence for each of a few methods")]
    pub fn explain(&mut self, sentence: String) {
        if self.sentences.last() != Some(&sentence) {
            self.sentences.push(sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_belong_to_the_stage_in_which_they_are_made() {
        let mut ledger = Ledger::new();
        ledger.read(2);
        ledger.end("plan");
        ledger.begin();
        ledger.read(1);
        ledger.read(4);
        ledger.end("solve");
        ledger.explain("why".into());
        let stages: Vec<_> = ledger.stages.iter().map(|stage| (stage.name, stage.reads)).collect();
        assert_eq!(stages, [("plan", 2), ("solve", 5)]);
        assert!(ledger.stages.iter().all(|stage| stage.seconds >= 0.0));
        assert_eq!(ledger.sentences, ["why"]);
    }
}
