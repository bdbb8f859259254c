//! What was measured, as tables for people.

use std::fs;
use std::path::Path;

use crate::contention;
use crate::figures::Figure;
use crate::growth::WAITING;
use crate::machine::Machine;
use crate::pairs::{self, TASKS};
use crate::samples::Samples;
use crate::table::{Table, short};

/// Where the tables and the charts are kept.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bench");

pub(crate) fn tables(samples: &Samples) -> String {
    let tables =
        [pairs(samples), alone(samples), contended(samples), growing(samples), held(samples)];
    tables.map(|table| table.render()).join("\n")
}

fn pairs(samples: &Samples) -> Table {
    let heads =
        ["tasks", "contestant", "pairs/s", "of two-scripts", "p50 us", "p99 us", "server us"];
    let mut table = Table::new("Acquire and release, a key for each task", &heads);
    for tasks in TASKS {
        for name in pairs::CONTESTANTS {
            let id = format!("pair/{tasks}/{}", name.text());
            let ratio =
                samples.ratio(&format!("{id}/rate"), &format!("pair/{tasks}/two-scripts/rate"));
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
        let id = format!("pair/1/{}", name.text());
        let counts = ["commands", "calls"].map(|what| samples.median(&format!("{id}/{what}")));
        table.row(name.text().to_owned(), counts);
    }
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
            let id = format!("contend/{workers}/{millis}ms/{}", name.text());
            let median = |what: &str| samples.median(&format!("{id}/{what}"));
            if median("acquisitions").is_nan() {
                continue;
            }
            let numbers = [
                median("acquisitions"),
                median("handoffs"),
                median("gap"),
                median("wait") / 1e3,
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
    let heads = ["", "value"];
    let mut table = Table::new("10,000 held locks", &heads);
    for (about, name) in [
        ("bytes of the server by lock", "held/bytes"),
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
         {machine}.\n\n`trait` and `guard` are this project's, through the trait of a store and \
         through the manager; `rslock` is the crate of this name, `rslock-spin` the same without \
         its pause between attempts. Absolute numbers are those of the machine; ratios carry.\n\n\
         ![p50 by tasks](redis-pairs.svg)\n\n![hand-offs and waits by workers](redis-contended.svg)\n\n\
         {tables}\n{}",
        targets.render(),
    );
    fs::create_dir_all(FOLDER).expect("the folder can be made");
    fs::write(Path::new(FOLDER).join("redis.md"), text).expect("the file can be written");
}
