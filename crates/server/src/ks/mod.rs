//! `coco ks`: has a rate changed, and is it wrong now? A check for Nagios and Consul.
//!
//! Invariants: it ends within ten seconds, whatever the other side does; what could not be judged is
//! UNKNOWN and never OK; it prints one line, unless more was asked for. What is judged and how is in
//! `coco-checks`; here is where the numbers come from, and what is said.

mod args;
mod findings;
mod json;
mod line;
mod plot;
mod source;

use std::{ffi::OsString, fmt::Write as _, process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::{CommandFactory, FromArgMatches};
use coco_checks::Grade;

pub use args::{Alpha, Ks, Options, Origin, UnknownAs, What, Window};

pub(crate) use findings::{Findings, Scope};
pub(crate) use line::{cut, escape};
pub(crate) use source::{Data, history, router, unix_now};

use crate::stdout;
use args::Old;

/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(9);

/// Runs the check, prints what it came to, and returns the exit status for it.
#[must_use]
pub fn ks(args: &Ks) -> ExitCode {
    if args.options.maximum_deviation.is_some() {
        eprintln!("--maximum-deviation is not used any more; see --alpha and --min-change");
    }
    let (told, answer) = mpsc::sync_channel(1);
    let asked = args.clone();
    // On a thread of its own, which may hang: on a file, or on whatever nobody thought of.
    thread::spawn(move || {
        // Nobody listens any more when it took too long.
        let _told: Result<(), _> = told.send(judge(&asked));
    });
    let judged = answer
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no end of it within {} s", PATIENCE.as_secs())));
    let findings = judged.unwrap_or_else(|error| Findings::unknown(format!("{error:#}")));
    print(&text(args, &findings));
    ExitCode::from(args.options.exit_status(findings.grade()))
}

fn judge(args: &Ks) -> anyhow::Result<Findings> {
    let data = source::read(args)?;
    Ok(Findings::of(args, data))
}

/// All that is printed.
fn text(args: &Ks, findings: &Findings) -> String {
    let mut text = if args.options.json {
        json::object(args, findings).to_string()
    } else {
        line::line(args, findings)
    };
    text.push('\n');
    if args.options.debug && !args.options.json {
        findings.details(&mut text);
    }
    if args.options.plot && !args.options.json {
        match findings.worst_halves() {
            Some((name, halves)) => plot::draw(name, halves, &mut text),
            None => text.push_str("nothing to draw: no series has two halves\n"),
        }
    }
    text
}

/// The command line of a check under its old name.
#[must_use]
pub fn old_command(what: What) -> clap::Command {
    let (name, about) = match what {
        What::Errors => {
            ("anomalous_coco_errors", "Has Coco's rate of errors risen, and do errors last?")
        }
        What::Send | What::Shed => (
            "anomalous_coco_send",
            "Has the rate changed at which Coco sends to its targets, and is one silent?",
        ),
    };
    Old::command().name(name).about(about)
}

/// A check under its old name: parses the command line of the process and runs.
#[must_use]
pub fn old(what: What) -> ExitCode {
    let parsed = old_command(what).try_get_matches();
    match parsed.and_then(|matches| Old::from_arg_matches(&matches)) {
        Ok(Old { options }) => ks(&Ks { what, options }),
        Err(error) => usage(&error, std::env::args_os()),
    }
}

/// Whether this command line, with the program as its first word, is one of `coco ks` or `coco verify`.
#[must_use]
pub fn is_meant(mut words: impl Iterator<Item = OsString>) -> bool {
    words.nth(1).is_some_and(|word| word == "ks" || word == "verify")
}

/// A check that cannot read its command line is UNKNOWN: 2, clap's status, would be CRITICAL. It says so in JSON
/// if one of the words asked for that.
#[must_use]
pub fn usage(error: &clap::Error, mut words: impl Iterator<Item = OsString>) -> ExitCode {
    if !error.use_stderr() {
        print(&error.to_string());
        return ExitCode::SUCCESS;
    }
    let rendered = error.to_string();
    let line = line::unknown(&first_paragraph(&rendered));
    if words.any(|word| word == "--json") {
        print(&format!("{}\n", json::unreadable(&line)));
    } else {
        print(&format!("{line}\n"));
    }
    eprintln!("{rendered}");
    ExitCode::from(Grade::Unknown.exit_status())
}

/// What is wrong, and with which argument, in one line.
fn first_paragraph(rendered: &str) -> String {
    let lines = rendered.trim_start().trim_start_matches("error: ").lines();
    let lines: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// Prints an answer: whoever does not read it has the exit status.
pub(crate) fn print(text: &str) {
    let _written: std::io::Result<()> = stdout::print(text);
}

/// A time in seconds as people write it, in its two largest units.
pub(crate) fn span(seconds: f64) -> String {
    if seconds < 60.0 {
        let short = format!("{seconds:.1}");
        return format!("{}s", short.trim_end_matches(".0"));
    }
    let whole = format!("{seconds:.0}").parse::<u64>().unwrap_or_default();
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let units = [(hours, "h"), (minutes, "m"), (seconds, "s")];
    let mut text = String::new();
    for (count, unit) in units.into_iter().filter(|(count, _)| *count > 0).take(2) {
        let _written: std::fmt::Result = write!(text, "{count}{unit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (0.0, "0s"),
            (0.2, "0.2s"),
            (59.0, "59s"),
            (60.0, "1m"),
            (200.0, "3m20s"),
            (7_265.0, "2h1m"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_usage_error_says_which_argument_is_meant() {
        let said = |line: &str| {
            let error = crate::cli::Cli::try_parse_from(line.split(' ')).unwrap_err();
            first_paragraph(&error.to_string())
        };
        assert_eq!(said("coco ks"), "the following required arguments were not provided: <WHAT>");
        let unknown = "invalid value 'sent' for '<WHAT>' [possible values: errors, send]";
        assert_eq!(said("coco ks sent"), unknown);
        assert_eq!(
            said("coco ks send --window x"),
            "invalid value 'x' for '--window <TIME>': no number before \"x\""
        );
        let json = json::unreadable("UNKNOWN: x");
        assert_eq!((&json["grade"], &json["exit_status"]), (&"UNKNOWN".into(), &3.into()));
        assert_eq!(json["line"], "UNKNOWN: x");
    }

    #[test]
    fn old_command_lines_are_taken() {
        let parse = |line: &str| {
            Old::command()
                .try_get_matches_from(line.split(' '))
                .map(|matches| Old::from_arg_matches(&matches).unwrap().options)
        };
        let options = parse("x --host coco.example --window 10m").unwrap();
        assert_eq!((options.origin(), options.host.as_str()), (Origin::History, "coco.example"));
        assert_eq!(options.window, Window(Duration::from_secs(600)));
        let line = "x --host h --target 10.0.0.1 --endpoint visage:9292 --window 120s \
                    --maximum-deviation 10.0 --debug";
        let options = parse(line).unwrap();
        assert_eq!(options.origin(), Origin::Visage);
        assert!(options.debug && options.maximum_deviation.as_deref() == Some("10.0"));
        for (bad, why) in [
            ("x --window 0", "more than zero"),
            ("x --window 10", "no unit"),
            ("x --window 25h", "more than 24h"),
            ("x --alpha 0", "more than 0"),
            ("x --alpha NaN", "more than 0"),
            ("x --min-change 101", "101"),
            ("x --confirm 0", "1..=9"),
            ("x --target a --all", "cannot be used with"),
            ("x --unknown-as 3", "possible values"),
        ] {
            let said = parse(bad).unwrap_err().to_string();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
