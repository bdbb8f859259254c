//! On what was measured, and when.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use crate::meter::Meter;

pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    server: String,
    /// Year, month and day, by the server's clock.
    date: (i64, i64, i64),
}

impl Machine {
    pub(crate) async fn look(meter: &mut Meter) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':')).map(|(_, model)| model.trim());
        let info = meter.info("server").await;
        let value = |name| info.get(name).map(String::as_str);
        let server = match value("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", value("redis_version").unwrap_or("unknown")),
        };
        let [seconds, _]: [i64; 2] = meter.ask(&["TIME"]).await;
        Self {
            cpu: model.unwrap_or("unknown CPU").to_owned(),
            cores: available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            server,
            date: date(seconds.div_euclid(86_400)),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, server, date: (year, month, day) } = self;
        write!(f, "{cpu}, {cores} cores, Linux {kernel}, {server} on loopback TCP without ")?;
        write!(f, "persistence, {year}-{month:02}-{day:02}")
    }
}

/// The date so many days after the beginning of 1970, in the calendar of today.
fn date(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is the last of its year; 400 of them, an era,
    // always have the same number of days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}
