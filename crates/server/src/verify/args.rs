//! What may be typed after `coco verify`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};
use coco_checks::Grade;

use super::moment::Time;
use crate::{
    ks::{self, Alpha, Ks, UnknownAs, What, Window},
    plan::Percent,
};

/// Arguments of `coco verify`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Verify {
    /// Routers: the addresses of their HTTP APIs, port 9090 unless they say another
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:9090")]
    pub urls: Vec<RouterUrl>,
    /// When it was deployed: 1764105600, 2025-11-25T21:20:00Z, or 5m for five minutes ago
    ///
    /// Messages of the log count from then on, those of a process that has handed over too, and numbers are
    /// compared before and after it. Without it all that the process itself has logged counts, and the halves
    /// of the window are compared.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Time>,
    /// Any other version than this is CRITICAL
    #[arg(long, value_name = "VERSION", value_parser = NonEmptyStringValueParser::new())]
    pub expect_version: Option<String>,
    /// The configuration that should be in force: its listeners and rings are looked for
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Messages of this kind are expected in the log; may be given several times
    #[arg(long, value_name = "KIND")]
    pub expect: Vec<String>,
    /// Send no canary samples
    #[arg(long)]
    pub no_canary: bool,
    /// Time that is looked at on each side of --since, or in all without it
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub window: Window,
    /// Largest probability of a false alarm in one run, over all series of all routers together
    #[arg(long, value_name = "P", default_value = "0.001")]
    pub alpha: Alpha,
    /// Least change of a median that counts
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub min_change: Percent,
    /// Keep the numbers of now in a file, for --before
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Numbers from before a restart, which the new process does not have; one that took over has them
    ///
    /// What --save has written, or for one router the answer of its /debug/history. Without --since, its
    /// time is the moment to compare around.
    #[arg(long, value_name = "FILE")]
    pub before: Option<PathBuf>,
    /// Exit status for UNKNOWN: Consul takes 3 as critical
    #[arg(long, value_name = "GRADE")]
    pub unknown_as: Option<UnknownAs>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Verify {
    /// The arguments of a `coco ks` that looks at this.
    pub(super) fn ks(&self, what: What) -> Ks {
        let options = ks::Options {
            host: String::new(),
            target: None,
            all: true,
            endpoint: None,
            source: None,
            url: None,
            file: None,
            rates: false,
            window: self.window,
            alpha: self.alpha,
            min_change: self.min_change,
            confirm: 1,
            unknown_as: self.unknown_as,
            json: false,
            plot: false,
            debug: false,
            maximum_deviation: None,
        };
        Ks { what, options }
    }

    /// Time to look back from now, to have a window on each side of the moment; and somewhat more, as `coco ks`
    /// does, for the reading before the first rate.
    pub(super) fn span(&self, now: f64, moment: Option<f64>) -> Duration {
        let since = moment.map_or(0.0, |moment| (now - moment).max(0.0));
        let since = Duration::try_from_secs_f64(since).unwrap_or(crate::history::SPAN);
        let window = self.window.0.saturating_mul(3).div_f64(2.0);
        window.saturating_add(since).min(crate::history::SPAN)
    }

    /// The exit status of a grade.
    pub(super) fn exit_status(&self, grade: Grade) -> u8 {
        self.ks(What::Send).options.exit_status(grade)
    }
}

/// Where the API of a router is: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterUrl(String);

impl RouterUrl {
    /// With its scheme, and no slash at its end.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RouterUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("only plain HTTP is spoken; say http://".to_owned());
        }
        ks::router(text).map(Self).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        verify: Verify,
    }

    fn parse(line: &str) -> Result<Verify, clap::Error> {
        Line::try_parse_from(format!("x {line}").trim().split(' ')).map(|line| line.verify)
    }

    #[test]
    fn routers_have_a_port_and_a_scheme() {
        let urls = |line: &str| {
            let urls = parse(line).unwrap().urls;
            urls.iter().map(|url| url.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(urls(""), ["http://127.0.0.1:9090"]);
        assert_eq!(urls("a http://b:91/"), ["http://a:9090", "http://b:91"]);
        for bad in [
            "https://a",
            "a/b",
            "--since never",
            "--window 0s",
            "--alpha 1",
            "--expect-version=",
            "--since 2200-01-01T00:00:00Z",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_window_and_somewhat_more_is_asked_for() {
        let args = parse("--window 10m").unwrap();
        for (moment, minutes) in [(None, 15), (Some(700.0), 20), (Some(5_000.0), 15)] {
            assert_eq!(args.span(1_000.0, moment), Duration::from_secs(minutes * 60));
        }
        assert_eq!(args.span(1e9, Some(0.0)), crate::history::SPAN);
    }
}
