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
    /// The other kind of goal: the median should not be less.
    at_least: Option<f64>,
    runs: Vec<f64>,
}

/// All rows, in the order in which they were first noted.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    /// What could not be measured, or lost something.
    failures: Vec<String>,
    /// What a reader should know, such as peers that are not there.
    remarks: Vec<String>,
}

impl Report {
    /// Notes the value of one run.
    pub fn note(&mut self, measure: Measure, value: f64) {
        self.add(measure, None, value);
    }

    /// Notes the value of one run; the median should be at least so much.
    pub fn note_at_least(&mut self, measure: Measure, least: f64, value: f64) {
        self.add(measure, Some(least), value);
    }

    fn add(&mut self, measure: Measure, at_least: Option<f64>, value: f64) {
        match self.rows.iter_mut().find(|row| row.measure == measure) {
            Some(row) => row.runs.push(value),
            None => self.rows.push(Row { measure, at_least, runs: vec![value] }),
        }
    }

    /// Notes that something could not be measured, or was wrong, and says so at once.
    pub fn fail(&mut self, case: &str, subject: &str, error: &anyhow::Error) {
        eprintln!("{case}, {subject}: {error:#}");
        self.failures.push(format!("{case}, {subject}: {error:#}"));
    }

    /// Tells those who wait what comes now.
    pub fn progress(&self, case: &str, subject: &str) {
        let name = format!("{case}, {subject} …");
        eprint!("{name:<50}\r");
    }

    /// Notes what a reader should know, once.
    pub fn remark(&mut self, text: String) {
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    /// Nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All goals are met, and all was measured.
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(Row::is_good) && self.failures.is_empty()
    }

    /// The median of a row.
    pub fn median(&self, case: &str, subject: &str, what: &str, unit: &str) -> Option<f64> {
        let wanted = (case, subject, what, unit);
        let is_it = |m: &Measure| (m.case, m.subject, m.what, m.unit) == wanted;
        self.rows.iter().find(|row| is_it(&row.measure)).map(|row| row.spread().1)
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<18} {:<20} {:<24} {:>10} {:>10} {:>10}  {:<10} {:>8}\n",
            "case", "subject", "measure", "median", "min", "max", "unit", "goal"
        );
        for row in &self.rows {
            let Measure { case, subject, what, unit, at_most } = &row.measure;
            let (min, median, max) = row.spread();
            let goal = match (at_most, row.at_least) {
                (Some(most), _) => format!("≤ {most}"),
                (None, Some(least)) => format!("≥ {least}"),
                (None, None) => String::new(),
            };
            let verdict = if row.is_good() { "" } else { "  MISSED" };
            // Writing into memory does not fail.
            let _written = writeln!(
                table,
                "{case:<18} {subject:<20} {what:<24} {median:>10.2} {min:>10.2} {max:>10.2}  \
                 {unit:<10} {goal:>8}{verdict}"
            );
        }
        for text in &self.remarks {
            let _written = writeln!(table, "note: {text}");
        }
        for text in &self.failures {
            let _written = writeln!(table, "FAILED: {text}");
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
        for remark in self.remarks.iter().chain(&self.failures) {
            let _written = writeln!(text, "# note: {}", remark.escape_debug());
        }
        text.push_str("case,subject,measure,unit,median,min,max,runs,goal_at_most,goal_at_least\n");
        for row in &self.rows {
            let Measure { case, subject, what, unit, at_most } = &row.measure;
            let (min, median, max) = row.spread();
            let goal = |goal: Option<f64>| goal.map_or_else(String::new, |goal| goal.to_string());
            let (most, least, runs) = (goal(*at_most), goal(row.at_least), row.runs.len());
            let [case, subject, what, unit] = [case, subject, what, unit].map(|text| quoted(text));
            let _written = writeln!(
                text,
                "{case},{subject},{what},{unit},{median:.3},{min:.3},{max:.3},{runs},{most},{least}"
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
        let (_, median, _) = self.spread();
        self.measure.at_most.is_none_or(|most| median <= most)
            && self.at_least.is_none_or(|least| median >= least)
    }
}

/// A field of a CSV file.
fn quoted(text: &str) -> String {
    if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() }
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

    #[test]
    fn a_goal_may_be_a_lower_bound_and_a_failure_is_no_success() {
        let measure = |what| Measure { case: "c", subject: "s, t", what, unit: "u", at_most: None };
        let mut report = Report::default();
        report.note_at_least(measure("enough"), 10.0, 10.5);
        assert!(report.is_good());
        assert_eq!(report.median("c", "s, t", "enough", "u"), Some(10.5));
        report.note_at_least(measure("too little"), 10.0, 9.5);
        assert!(!report.is_good());
        let mut report = Report::default();
        report.fail("c", "s", &anyhow::anyhow!("lost"));
        assert!(!report.is_good());
        assert_eq!(quoted("s, t"), "\"s, t\"");
    }
}
