//! Times of day and dates in UTC.

/// `HH:MM:SS.uuuuuu`.
pub(super) fn of_day(ns: u64) -> String {
    let us = ns / 1000;
    let seconds = us / 1_000_000 % DAY as u64;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, us % 1_000_000)
}

/// As strace writes a file's time: `2024-02-29T12:00:00.000000001+0000`, without a fraction of 0.
pub(super) fn date(seconds: i64, ns: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = if ns == 0 { String::new() } else { format!(".{ns:09}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}+0000")
}

/// Seconds of a day.
const DAY: i64 = 86_400;

/// The Gregorian year, month and day of a day since 1970, reckoned in years that begin in March so that a leap day is the last.
fn civil(day: i64) -> (i64, i64, i64) {
    const CENTURIES_4: i64 = 146_097;
    // From the 1st of March of year 0.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(CENTURIES_4), day.rem_euclid(CENTURIES_4));
    let year = (day - day / 1460 + day / 36_524 - day / (CENTURIES_4 - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}
