//! What may be typed after `coco ks`, and to the checks under their old names.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, ValueEnum};
use coco_checks::Grade;

use crate::{VERSION, config::duration, plan::Percent};

/// Arguments of `coco ks`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Ks {
    /// What to look at
    pub what: What,
    /// All the rest.
    #[command(flatten)]
    pub options: Options,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Rates of errors, of which only a rise counts; they must not last either
    Errors,
    /// Samples sent to targets; a target must not be silent either
    Send,
    /// Samples given up of targets, of which only a rise counts; for `coco verify`
    #[value(skip)]
    Shed,
}

impl What {
    /// As it is typed.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Send => "send",
            Self::Shed => "shed",
        }
    }
}

/// Where the numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// `/debug/history` of the router itself
    History,
    /// `/debug/vars` of the router, read four times within three seconds: rules on levels only
    Vars,
    /// Visage, as the checks of Coco 1.x read it
    Visage,
    /// A Graphite `/render?format=json`
    Graphite,
    /// A file: JSON as one of the others answers, or lines `time,value`; of any age, and the answer says of which
    File,
}

/// What a check can be told.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// The router, port 9090 unless it says another; with Visage, the host as it is named there
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1")]
    pub host: String,
    /// Only this target, by its address; without a port, one with any; with Visage, 25826
    ///
    /// Where a URL or a file gives the series, all of them are judged, unless it is a history of a router.
    #[arg(long, value_name = "TARGET", conflicts_with = "all")]
    pub target: Option<String>,
    /// All targets together; the default
    #[arg(long)]
    pub all: bool,
    /// A Visage to ask, such as visage.example:9292
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Where the numbers come from; default: what --endpoint, --url or --file say, else history
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<Origin>,
    /// A whole Graphite URL, with its format=json; each of its series is judged
    #[arg(long, value_name = "URL", conflicts_with_all = ["endpoint", "file"])]
    pub url: Option<String>,
    /// A file with the numbers
    #[arg(long, value_name = "FILE", conflicts_with = "endpoint")]
    pub file: Option<PathBuf>,
    /// The numbers of --url or --file are rates already, not counters
    #[arg(long)]
    pub rates: bool,
    /// Time to look back; its halves are compared, and need 20 rates each
    ///
    /// A router keeps 360 intervals of `[measure]`, an hour at most: with a short one it is all that it keeps.
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub window: Window,
    /// Largest probability of a false alarm in one run, over all series together
    #[arg(long, value_name = "P", default_value = "0.001")]
    pub alpha: Alpha,
    /// Least change of the median that counts
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    pub min_change: Percent,
    /// So many windows in a row must show a change, 1 to 9
    ///
    /// They end one interval apart, so that the runs before need not be remembered: what those would have
    /// seen is in the same numbers.
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=9))]
    pub confirm: u8,
    /// Exit status for UNKNOWN: Consul takes 3 as critical
    #[arg(long, value_name = "GRADE")]
    pub unknown_as: Option<UnknownAs>,
    /// Print one JSON object instead of the line for Nagios
    ///
    /// In it, `change` is the shift of the median as a share of `before`, and null where that is 0; `moved`
    /// has it in words.
    #[arg(long)]
    pub json: bool,
    /// Draw both halves and their distribution functions
    #[arg(long)]
    pub plot: bool,
    /// Tell below the line what was asked, found and reckoned
    #[arg(long)]
    pub debug: bool,
    /// Accepted and not used: a distance in the unit of the metric says nothing
    #[arg(long, value_name = "NUMBER", hide_short_help = true)]
    pub maximum_deviation: Option<String>,
}

impl Options {
    /// Where the numbers come from.
    pub(super) fn origin(&self) -> Origin {
        let said = [
            (self.endpoint.is_some(), Origin::Visage),
            (self.url.is_some(), Origin::Graphite),
            (self.file.is_some(), Origin::File),
        ];
        let meant = said.into_iter().find(|(is_said, _)| *is_said).map(|(_, origin)| origin);
        self.source.or(meant).unwrap_or(Origin::History)
    }

    /// The exit status of a grade.
    pub(crate) fn exit_status(&self, grade: Grade) -> u8 {
        match (grade, self.unknown_as) {
            (Grade::Unknown, Some(UnknownAs::Ok)) => Grade::Ok.exit_status(),
            (Grade::Unknown, Some(UnknownAs::Warning)) => Grade::Warning.exit_status(),
            (Grade::Unknown, Some(UnknownAs::Critical)) => Grade::Critical.exit_status(),
            (grade, _) => grade.exit_status(),
        }
    }
}

/// `anomalous_coco_errors` and `anomalous_coco_send`.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(version = VERSION, after_help = "It is `coco ks` under the name that it had in Coco 1.x.")]
pub(super) struct Old {
    #[command(flatten)]
    pub(super) options: Options,
}

/// What stands for UNKNOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownAs {
    /// 0
    Ok,
    /// 1
    Warning,
    /// 2
    Critical,
}

/// A time to look back, more than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window(pub(crate) Duration);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text) {
            Ok(window) if window.is_zero() => Err("it must be more than zero".to_owned()),
            Ok(window) if window > WINDOW_MAX => Err("it is more than 24h".to_owned()),
            Ok(window) => Ok(Self(window)),
            Err(why) => Err(why.to_string()),
        }
    }
}

/// No check looks back farther.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// A probability, more than zero and at most a half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alpha(pub(super) f64);

/// It is never NaN.
impl Eq for Alpha {}

impl FromStr for Alpha {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(alpha) if alpha > 0.0 && alpha <= 0.5 => Ok(Self(alpha)),
            Ok(_) => Err("it is more than 0 and at most 0.5".to_owned()),
            Err(_) => Err("it is no number, such as 0.001".to_owned()),
        }
    }
}
