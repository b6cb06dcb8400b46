//! The table: medians of the runs, with their spread, and whether a bound was kept.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

/// What is measured of a subject in a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The case, such as `line`.
    pub case: &'static str,
    /// The program.
    pub subject: &'static str,
    /// What of it.
    pub what: &'static str,
    /// The unit of the number.
    pub unit: &'static str,
    /// The goal, if there is one: the median should not be more.
    pub at_most: Option<f64>,
}

/// A measure and its value in each run.
#[derive(Debug)]
struct Row {
    measure: Measure,
    runs: Vec<f64>,
}

/// All rows, in the order in which they were first noted.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Notes the value of one run.
    pub fn note(&mut self, measure: Measure, value: f64) {
        match self.rows.iter_mut().find(|row| row.measure == measure) {
            Some(row) => row.runs.push(value),
            None => self.rows.push(Row { measure, runs: vec![value] }),
        }
    }

    /// All goals are met.
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(Row::is_good)
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<10} {:<16} {:<20} {:>10} {:>10} {:>10}  {:<10} {:>8}\n",
            "case", "subject", "measure", "median", "min", "max", "unit", "goal"
        );
        for row in &self.rows {
            let Measure { case, subject, what, unit, at_most } = &row.measure;
            let (min, median, max) = row.spread();
            let goal = at_most.map_or_else(String::new, |goal| format!("≤ {goal}"));
            let verdict = if row.is_good() { "" } else { "  MISSED" };
            // Writing into memory does not fail.
            let _written = writeln!(
                table,
                "{case:<10} {subject:<16} {what:<20} {median:>10.2} {min:>10.2} {max:>10.2}  \
                 {unit:<10} {goal:>8}{verdict}"
            );
        }
        table
    }

    /// Writes the rows for programs; `description` goes before them as comments.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_csv(
        &self,
        file: &Path,
        description: &[(&'static str, String)],
    ) -> anyhow::Result<()> {
        let mut text: String =
            description.iter().map(|(name, value)| format!("# {name}: {value}\n")).collect();
        text.push_str("case,subject,measure,unit,median,min,max,runs,goal_at_most\n");
        for row in &self.rows {
            let Measure { case, subject, what, unit, at_most } = &row.measure;
            let (min, median, max) = row.spread();
            let goal = at_most.map_or_else(String::new, |goal| goal.to_string());
            let runs = row.runs.len();
            let _written = writeln!(
                text,
                "{case},{subject},{what},{unit},{median:.3},{min:.3},{max:.3},{runs},{goal}"
            );
        }
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Row {
    /// Smallest, median (the lower one of two) and largest.
    fn spread(&self) -> (f64, f64, f64) {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        let at = |at: usize| runs.get(at).copied().unwrap_or(f64::NAN);
        (at(0), at(runs.len().saturating_sub(1) / 2), at(runs.len().saturating_sub(1)))
    }

    fn is_good(&self) -> bool {
        self.measure.at_most.is_none_or(|goal| self.spread().1 <= goal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_held_against_the_goal() {
        let measure = |at_most| Measure { case: "c", subject: "s", what: "w", unit: "u", at_most };
        let mut report = Report::default();
        for value in [9.0, 1.0, 2.0] {
            report.note(measure(Some(2.0)), value);
        }
        assert!(report.is_good());
        assert_eq!(report.rows[0].spread(), (1.0, 2.0, 9.0));
        report.note(measure(Some(1.0)), 1.5);
        assert!(!report.is_good());
        assert!(report.table().contains("MISSED"));
    }
}
