//! When schedules begin: cron expressions and time zones.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::{Schema, json_schema};

use crate::config::shape::{Mistake, Textual};

/// A cron expression of five fields that has an occurrence.
#[derive(Debug, Clone)]
pub(in crate::config) struct CronText(pub(in crate::config) String);

/// The IANA name of a time zone that is known here.
#[derive(Debug, Clone)]
pub(in crate::config) struct ZoneName(pub(in crate::config) String);

impl Textual for CronText {
    const EXPECTED: &'static str = "minute, hour, day of month, month and day of week, such as `0 8 * * mon-fri`";

    fn read(text: &str) -> Result<Self, Mistake> {
        let refuse = |error: String| Mistake {
            message: format!("expected {}, found {text:?}", Self::EXPECTED),
            suggestion: Some(error.trim_end_matches('.').to_lowercase()),
        };
        // POSIX crontab has neither seconds nor years.
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| refuse(error.to_string()))?;
        if !occurs(&cron) {
            return Err(format!("the schedule {text:?} can never begin: there is no such day").into());
        }
        Ok(Self(text.to_owned()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["0 8 * * mon-fri", "30 22 1 * *"] })
    }
}

impl Textual for ZoneName {
    const EXPECTED: &'static str = "the IANA name of a time zone, such as `Europe/Berlin`";

    fn read(text: &str) -> Result<Self, Mistake> {
        match TimeZone::get(text) {
            Ok(zone) => Ok(Self(zone.iana_name().unwrap_or(text).to_owned())),
            Err(_) => Err(format!("expected {}, found {text:?}", Self::EXPECTED).into()),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": ["UTC", "Europe/Berlin"] })
    }
}

/// Tells whether there is ever such a day. Looked for from a fixed day on, so that a file is good or bad on every day.
fn occurs(cron: &Cron) -> bool {
    cron.find_next_occurrence(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), true).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_the_five_fields_of_crontab() {
        for text in ["0 8 * * mon-fri", "*/15 * * * *", "0 0 29 2 *", "30 22 1,15 jan-mar *", "0 0 * * 7", "0 0 1 * SUN"] {
            assert!(CronText::read(text).is_ok(), "{text}");
        }
        for text in
            ["", "0 8 * *", "0 8 * * * *", "0 0 8 * * mon 2030", "60 8 * * *", "0 24 * * *", "0 8 * * noday", "at noon", "é"]
        {
            assert!(CronText::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_schedule_that_can_never_begin_is_refused() {
        for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert!(CronText::read(text).unwrap_err().message.contains("can never begin"), "{text}");
        }
    }

    #[test]
    fn time_zones_are_known_by_their_iana_names() {
        for (text, name) in [("Europe/Berlin", "Europe/Berlin"), ("utc", "UTC"), ("america/new_york", "America/New_York")] {
            assert_eq!(ZoneName::read(text).map(|zone| zone.0).as_deref(), Ok(name));
        }
        for text in ["", "Europe/Belrin", "CEST+2", "../../etc/passwd", "/etc/localtime"] {
            assert!(ZoneName::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones_are_known_where_the_system_has_none() {
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        assert!(bundled.get("Europe/Berlin").is_ok());
    }
}
