//! Figures with a target.

use std::fmt;

use crate::contestants::Name;
use crate::growth::WAITING;
use crate::processes::PROCESSES;
use crate::samples::Samples;
use crate::{contention, distance, heartbeats};

/// On which side of its target a figure has to be.
#[derive(Clone, Copy, Debug)]
enum Side {
    AtMost,
    AtLeast,
}
use Side::{AtLeast, AtMost};

/// A measured value and its target.
#[derive(Debug)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    side: Side,
    target: f64,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "figure {} {:.3} {:.3} {}", self.name, self.value, self.target, self.verdict())
    }
}

impl Figure {
    fn verdict(&self) -> &'static str {
        let is_reached = match self.side {
            AtMost => self.value <= self.target,
            AtLeast => self.value >= self.target,
        };
        if is_reached { "ok" } else { "short" }
    }

    /// The cells of a table: the name, the value, the target and the verdict.
    pub(crate) fn cells(&self) -> (String, [String; 3]) {
        let sign = match self.side {
            AtMost => "at most",
            AtLeast => "at least",
        };
        let (value, target) = (format!("{:.3}", self.value), format!("{sign} {}", self.target));
        (self.name.clone(), [value, target, self.verdict().to_owned()])
    }
}

/// The names of this project in what is measured.
const OURS: [Name; 2] = [Name::Trait, Name::Guard];

pub(crate) fn all(samples: &Samples) -> Vec<Figure> {
    let mut list = List { samples, figures: Vec::new() };
    pairs(&mut list);
    distance(&mut list);
    contended(&mut list);
    few(&mut list);
    handed_on(&mut list);
    growing(&mut list);
    held(&mut list);
    list.figures
}

/// The figures so far, and what they are made of.
struct List<'a> {
    samples: &'a Samples,
    figures: Vec<Figure>,
}

impl List<'_> {
    fn add(&mut self, name: impl Into<String>, value: f64, side: Side, target: f64) {
        self.figures.push(Figure { name: name.into(), value, side, target });
    }

    fn median(&self, name: &str) -> f64 {
        self.samples.median(name)
    }

    /// The ratio of two medians, both of which stand in the tables.
    fn of_medians(&self, one: &str, other: &str) -> f64 {
        self.median(one) / self.median(other)
    }
}

fn pairs(list: &mut List<'_>) {
    list.add("pair.trait.commands", list.median("pair/1/trait/commands"), AtMost, 2.0);
    list.add("pair.trait.calls", list.median("pair/1/trait/calls"), AtMost, 6.0);
    for (tasks, factor) in [(16, 1.0), (64, 1.5), (256, 2.0)] {
        let of = |list: &List<'_>, name: &str, peer: &str, what: &str| {
            let id = format!("pair/{tasks}");
            list.samples.ratio(&format!("{id}/{name}/{what}"), &format!("{id}/{peer}/{what}"))
        };
        let two = Name::TwoScripts.id();
        let name = format!("pair.{tasks}-tasks");
        let value = of(list, "trait", two, "rate");
        list.add(format!("{name}.trait.rate.of-{two}"), value, AtLeast, factor);
        if tasks == 64 {
            let value = of(list, "trait", "rslock", "rate");
            list.add(format!("{name}.trait.rate.of-rslock"), value, AtLeast, 1.2);
            let value = of(list, "trait", two, "cpu");
            list.add(format!("{name}.trait.server-time.of-{two}"), value, AtMost, 0.8);
        }
        let value = of(list, "guard", "trait", "rate");
        list.add(format!("{name}.guard.rate.of-trait"), value, AtLeast, 0.85);
    }
    for name in OURS.map(Name::id) {
        let two = Name::TwoScripts.id();
        let value = list.of_medians(&format!("pair/1/{name}/p50"), &format!("pair/1/{two}/p50"));
        list.add(format!("pair.1-task.{name}.p50.of-{two}"), value, AtMost, 1.10);
    }
}

fn distance(list: &mut List<'_>) {
    for tasks in distance::TASKS {
        for name in OURS {
            let value = distance::round_trips(list.samples, tasks, name);
            let name = name.id();
            let name = format!("20-ms-line.{tasks}-tasks.{name}.round-trips-a-command");
            list.add(name, value, AtMost, 1.1);
        }
    }
}

fn contended(list: &mut List<'_>) {
    for (workers, millis, factor) in [(10, 0, 100.0), (10, 1, 50.0), (100, 0, 10.0), (100, 1, 6.0)]
    {
        let id = format!("contend/{workers}/{millis}ms");
        let name = format!("contend.{workers}-workers.{millis}-ms");
        for (what, least) in [("handoffs", factor), ("acquisitions", 0.85)] {
            let peer = format!("{id}/rslock/{what}");
            let value = list.samples.ratio(&format!("{id}/trait/{what}"), &peer);
            list.add(format!("{name}.{what}.of-rslock"), value, AtLeast, least);
        }
        let ours = |list: &List<'_>, what: &str| list.median(&format!("{id}/trait/{what}"));
        list.add(format!("{name}.spread"), ours(list, "spread"), AtMost, 2.0);
        list.add(format!("{name}.jain"), ours(list, "jain"), AtLeast, 0.999);
        list.add(format!("{name}.wait-p99.of-ideal"), ours(list, "wait-of-ideal"), AtMost, 1.6);
    }
}

/// Two and three contenders, where no other turn hides a waiter that sleeps.
fn few(list: &mut List<'_>) {
    let mut rows = Vec::new();
    for ours in OURS.map(Name::id) {
        let all = format!("contend/10/0ms/{ours}/handoffs");
        for workers in contention::FEW {
            let id = format!("contend/{workers}/0ms/{ours}");
            let name = format!("contend.{workers}-workers.{ours}");
            if workers == 2 {
                let value = list.samples.ratio(&format!("{id}/handoffs"), &all);
                list.add(format!("{name}.handoffs.of-10-workers"), value, AtLeast, 0.6);
            }
            rows.push((name, id));
        }
    }
    for count in PROCESSES {
        let (name, id) = (format!("contend.{count}-processes"), format!("processes/{count}"));
        if count == 2 {
            let all = "contend/10/0ms/guard/handoffs";
            let value = list.samples.ratio(&format!("{id}/handoffs"), all);
            list.add(format!("{name}.handoffs.of-10-workers"), value, AtLeast, 0.6);
        }
        rows.push((name, id));
    }
    let mut longest = f64::NAN;
    for (name, id) in rows {
        let value = list.median(&format!("{id}/wait-p999")) / 1e3;
        list.add(format!("{name}.wait-p999.ms"), value, AtMost, 20.0);
        longest = longest.max(list.samples.highest(&format!("{id}/wait-longest")) / 1e3);
    }
    list.add("contend.few.longest-wait.ms", longest, AtMost, 100.0);
}

fn handed_on(list: &mut List<'_>) {
    let value = list.of_medians("contend/10/0ms/trait/gap", "pair/1/ping/p50");
    list.add("handoff.gap-p50.of-ping-p50", value, AtMost, 2.0);
    // Of two workers, one may take the free lock twice before the other asks.
    let crowds = contention::SETTINGS.into_iter().filter(|setting| setting.0 > 2);
    for (workers, _) in crowds.filter(|(_, millis)| *millis == 0) {
        let ours = |list: &List<'_>, what: &str| {
            list.median(&format!("contend/{workers}/0ms/trait/{what}"))
        };
        let name = format!("handoff.{workers}-workers");
        list.add(format!("{name}.commands"), ours(list, "commands"), AtMost, 2.02);
        list.add(format!("{name}.messages"), ours(list, "messages"), AtMost, 1.01);
    }
    let waiting = heartbeats::WAITING;
    let value = list.median("heartbeats/commands");
    list.add(format!("heartbeat.{waiting}-waiters.commands-a-round"), value, AtMost, 100.0);
}

fn growing(list: &mut List<'_>) {
    let most = WAITING[WAITING.len() - 1];
    for what in ["cpu", "script", "latency"] {
        let least = format!("growth/10/{what}");
        let value = list.samples.ratio(&format!("growth/{most}/{what}"), &least);
        list.add(format!("growth.{what}.of-{most}-waiters.of-10"), value, AtMost, 2.0);
    }
    let bytes = list.median("growth/10000/bytes");
    list.add("memory.10000-waiters.bytes-a-waiter", bytes, AtMost, 320.0);
}

fn held(list: &mut List<'_>) {
    list.add("memory.10000-leases.bytes-a-lease", list.median("held/bytes"), AtMost, 190.0);
    list.add("renew.10000-leases.commands", list.median("renew/commands"), AtMost, 100.0);
    list.add("renew.10000-leases.server-us-a-lease", list.median("renew/cpu"), AtMost, 3.0);
}
