//! Tables of the results.

use std::fs;
use std::path::Path;

use crate::contestants::Name;
use crate::figures::Figure;
use crate::growth::WAITING;
use crate::machine::Machine;
use crate::pairs::{self, TASKS};
use crate::processes::PROCESSES;
use crate::samples::Samples;
use crate::table::{Table, short};
use crate::{contention, distance};

/// Where the tables and the charts are kept.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bench");

/// The columns of a table of single values.
const HEADS: [&str; 2] = ["", "value"];

pub(crate) fn tables(samples: &Samples) -> String {
    let tables = [
        pairs(samples),
        alone(samples),
        far(samples),
        contended(samples),
        processes(samples),
        growing(samples),
        waiting(samples),
        held(samples),
    ];
    tables.map(|table| table.render()).join("\n")
}

fn pairs(samples: &Samples) -> Table {
    let heads =
        ["tasks", "contestant", "pairs/s", "of two bare scripts", "p50 us", "p99 us", "server us"];
    let mut table = Table::new("Acquire and release, a key for each task", &heads);
    for tasks in TASKS {
        for name in pairs::CONTESTANTS {
            let id = format!("pair/{tasks}/{}", name.id());
            let two = Name::TwoScripts.id();
            let ratio = samples.ratio(&format!("{id}/rate"), &format!("pair/{tasks}/{two}/rate"));
            let median = |what: &str| short(samples.median(&format!("{id}/{what}")));
            let rest = [median("rate"), short(ratio), median("p50"), median("p99"), median("cpu")];
            let cells = [name.text().to_owned()].into_iter().chain(rest);
            table.texts(tasks.to_string(), cells);
        }
    }
    table
}

fn alone(samples: &Samples) -> Table {
    let heads = ["contestant", "scripts a pair", "calls a pair"];
    let mut table = Table::new("What the server counts", &heads);
    for name in pairs::CONTESTANTS {
        let id = format!("pair/1/{}", name.id());
        let counts = ["commands", "calls"].map(|what| samples.median(&format!("{id}/{what}")));
        table.row(name.text().to_owned(), counts);
    }
    table
}

fn far(samples: &Samples) -> Table {
    let heads = ["tasks", "contestant", "p50 ms", "round trips a command"];
    let title = "Acquire and release over a line with a round trip of 20 ms";
    let mut table = Table::new(title, &heads);
    for tasks in distance::TASKS {
        for name in distance::CONTESTANTS {
            let p50 = samples.median(&format!("distance/{tasks}/{}/p50", name.id())) / 1e3;
            let round_trips = distance::round_trips(samples, tasks, name);
            table
                .texts(tasks.to_string(), [name.text().to_owned(), short(p50), short(round_trips)]);
        }
    }
    table
}

fn processes(samples: &Samples) -> Table {
    let heads = [
        "processes",
        "acquired/s",
        "handed on/s",
        "wait p99 ms",
        "wait p99.9 ms",
        "longest ms",
        "scripts",
        "messages",
    ];
    let title = "One lock for processes with a manager each; scripts and messages are by hand-off";
    let mut table = Table::new(title, &heads);
    for count in PROCESSES {
        let of = |what: &str| format!("processes/{count}/{what}");
        let median = |what: &str| samples.median(&of(what));
        let numbers = [
            median("acquisitions"),
            median("handoffs"),
            median("wait") / 1e3,
            median("wait-p999") / 1e3,
            samples.highest(&of("wait-longest")) / 1e3,
            median("commands"),
            median("messages"),
        ];
        table.row(count.to_string(), numbers);
    }
    table
}

fn waiting(samples: &Samples) -> Table {
    let mut table = Table::new("10,000 waiters of one process while nothing happens", &HEADS);
    table.row("commands a heartbeat".to_owned(), [samples.median("heartbeats/commands")]);
    table.row("us of the server by waiter".to_owned(), [samples.median("heartbeats/cpu")]);
    table
}

fn contended(samples: &Samples) -> Table {
    let heads = [
        "workers, hold",
        "contestant",
        "acquired/s",
        "handed on/s",
        "gap p50 us",
        "wait p99 ms",
        "wait p99.9 ms",
        "longest ms",
        "spread",
        "Jain",
        "scripts",
        "messages",
        "server us",
    ];
    let title = "One lock for all workers; scripts, messages and server time are by hand-off";
    let mut table = Table::new(title, &heads);
    for (workers, millis) in contention::SETTINGS {
        for name in contention::CONTESTANTS {
            let id = format!("contend/{workers}/{millis}ms/{}", name.id());
            let median = |what: &str| samples.median(&format!("{id}/{what}"));
            if median("acquisitions").is_nan() {
                continue;
            }
            let numbers = [
                median("acquisitions"),
                median("handoffs"),
                median("gap"),
                median("wait") / 1e3,
                median("wait-p999") / 1e3,
                samples.highest(&format!("{id}/wait-longest")) / 1e3,
                median("spread"),
                median("jain"),
                median("commands"),
                median("messages"),
                median("cpu"),
            ];
            let cells = [name.text().to_owned()].into_iter().chain(numbers.map(short));
            table.texts(format!("{workers}, {millis} ms"), cells);
        }
    }
    table
}

fn growing(samples: &Samples) -> Table {
    let heads = [
        "waiting",
        "hand-off p50 us",
        "server us",
        "in scripts us",
        "scripts",
        "messages",
        "bytes a waiter",
    ];
    let title = "A release that hands the lock on, and an acquire that joins the queue";
    let mut table = Table::new(title, &heads);
    for waiting in WAITING {
        let columns = ["latency", "cpu", "script", "commands", "messages", "bytes"];
        let medians = columns.map(|what| samples.median(&format!("growth/{waiting}/{what}")));
        table.row(waiting.to_string(), medians);
    }
    table
}

fn held(samples: &Samples) -> Table {
    let mut table = Table::new("10,000 held locks", &HEADS);
    for (about, name) in [
        ("bytes by lock", "held/bytes"),
        ("commands that renew them all", "renew/commands"),
        ("ms until all are renewed", "renew/millis"),
        ("us of the server by renewed lock", "renew/cpu"),
    ] {
        table.row(about.to_owned(), [samples.median(name)]);
    }
    table
}

/// Keeps the tables of this run.
pub(crate) fn write(machine: &Machine, tables: &str, figures: &[Figure]) {
    let mut targets = Table::new("Targets", &["figure", "value", "target", "verdict"]);
    for figure in figures {
        let (name, cells) = figure.cells();
        targets.texts(name, cells);
    }
    let text = format!(
        "# What a lock in Redis costs\n\nThe last run of `cargo xtask bench redis` that was kept: \
         {machine}.\n\n`trait` is the store through its trait, `guard` the same through the manager and \
         its guard; `rslock` is the crate of this name. Keys have 20 bytes, owners 12, and waiters \
         the default keep-alive. Every value is the median of the rounds, but for the longest \
         waits, which are those of all rounds. Absolute numbers are those of the machine; ratios \
         carry.\n\n\
         ![p50 by tasks](redis-pairs.svg)\n\n![one lock for many](redis-contended.svg)\n\n\
         {tables}\n{}",
        targets.render(),
    );
    fs::create_dir_all(FOLDER).expect("the folder can be made");
    fs::write(Path::new(FOLDER).join("redis.md"), text).expect("the file can be written");
}
