//! A moment as it is typed, and as it is shown.

use std::{str::FromStr, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::duration,
    ks::{span, unix_now},
};

/// A clock may be so many seconds off before times cannot be compared.
pub(super) const CLOCK_OFF_MAX: f64 = 5.0;

/// Nothing can have been seen since then.
pub(super) fn is_ahead(moment: f64, now: f64) -> bool {
    moment > now + CLOCK_OFF_MAX
}

/// A Unix time in milliseconds, not in the future, or so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(Is);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    At(u64),
    Ago(Duration),
}

impl Time {
    /// In Unix seconds.
    pub(super) fn seconds(self, now: f64) -> f64 {
        match self.0 {
            Is::At(ms) => Duration::from_millis(ms).as_secs_f64(),
            Is::Ago(ago) => now - ago.as_secs_f64(),
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (time, now) = (Self::parse(text)?, unix_now());
        match is_ahead(time.seconds(now), now) {
            true => Err(format!("it is {} ahead of the clock here", span(time.seconds(now) - now))),
            false => Ok(time),
        }
    }
}

impl Time {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse::<f64>() {
            let since = Duration::try_from_secs_f64(seconds).ok();
            let ms =
                since.filter(|since| since.as_secs() < YEAR_3000).map(|since| since.as_millis());
            return match ms.and_then(|ms| u64::try_from(ms).ok()) {
                Some(ms) => Ok(Self(Is::At(ms))),
                None => Err("that is no Unix time in seconds".to_owned()),
            };
        }
        if text.contains('T') {
            let parsed =
                OffsetDateTime::parse(text, &Rfc3339).map_err(|error| error.to_string())?;
            let ms = u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000);
            return ms.map(|ms| Self(Is::At(ms))).map_err(|_| "it is before 1970".to_owned());
        }
        let ago = duration(text).map_err(|why| {
            format!(
                "{why}; give a Unix time, a time as 2025-11-25T21:20:00Z, or 5m for so long ago"
            )
        })?;
        Ok(Self(Is::Ago(ago)))
    }
}

/// More is milliseconds that were taken for seconds.
const YEAR_3000: u64 = 32_503_680_000;

/// A Unix time for people: `2025-11-25T21:20:00Z`.
pub(crate) fn shown(seconds: f64) -> String {
    let whole = format!("{:.0}", seconds.floor()).parse().unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(whole).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_typed_in_three_ways() {
        let now = 1_764_105_900.0;
        for (text, seconds) in [
            ("1764105600", 1_764_105_600.0),
            ("1764105600.25", 1_764_105_600.25),
            ("2025-11-25T21:20:00Z", 1_764_105_600.0),
            ("2025-11-25T23:20:00+02:00", 1_764_105_600.0),
            ("5m", 1_764_105_600.0),
        ] {
            assert_eq!(text.parse::<Time>().unwrap().seconds(now), seconds, "{text}");
        }
        for bad in ["", "now", "-1", "inf", "1764105600000", "2025-11-25T21", "5", "-5m", "1T"] {
            // A bare 5 is a Unix time, long ago.
            assert_eq!(bad.parse::<Time>().is_err(), bad != "5", "{bad}");
        }
        let ahead = |seconds: f64| format!("{:.1}", unix_now() + seconds).parse::<Time>();
        assert!(ahead(3.0).is_ok(), "clocks are never quite alike");
        let why = ahead(3_601.0).unwrap_err();
        assert!(why.starts_with("it is 1h") && why.ends_with("ahead of the clock here"), "{why}");
        assert!("2200-01-01T00:00:00Z".parse::<Time>().is_err());
        assert_eq!(shown(1_764_105_600.9), "2025-11-25T21:20:00Z");
    }
}
