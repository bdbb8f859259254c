//! What is held to a target.

use std::fmt;

use crate::contention;
use crate::growth::WAITING;
use crate::samples::Samples;

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

pub(crate) fn all(samples: &Samples) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |name: String, value: f64, side: Side, target: f64| {
        figures.push(Figure { name, value, side, target });
    };
    pairs(samples, &mut add);
    contended(samples, &mut add);
    growing(samples, &mut add);
    add("renew.10000.commands".to_owned(), samples.median("renew/commands"), AtMost, 100.0);
    figures
}

fn pairs(samples: &Samples, add: &mut impl FnMut(String, f64, Side, f64)) {
    let ratio = |tasks: usize, peer: &str, what: &str| {
        samples.ratio(&format!("pair/{tasks}/trait/{what}"), &format!("pair/{tasks}/{peer}/{what}"))
    };
    add("pair.commands".to_owned(), samples.median("pair/1/trait/commands"), AtMost, 2.0);
    add("pair.calls".to_owned(), samples.median("pair/1/trait/calls"), AtMost, 6.0);
    let two = "two-scripts";
    add("pair.rate.64.of-two-scripts".to_owned(), ratio(64, two, "rate"), AtLeast, 0.80);
    add("pair.rate.64.of-rslock".to_owned(), ratio(64, "rslock", "rate"), AtLeast, 0.75);
    add("pair.cpu.64.of-two-scripts".to_owned(), ratio(64, two, "cpu"), AtMost, 1.3);
    add("pair.p50.1.of-two-scripts".to_owned(), ratio(1, two, "p50"), AtMost, 1.15);
}

fn contended(samples: &Samples, add: &mut impl FnMut(String, f64, Side, f64)) {
    for (workers, millis, factor) in [(10, 0, 100.0), (10, 1, 50.0), (100, 0, 10.0), (100, 1, 6.0)]
    {
        let id = format!("contend/{workers}/{millis}ms");
        let name = format!("contend.{workers}.{millis}ms");
        let ratio = |what: &str| {
            samples.ratio(&format!("{id}/trait/{what}"), &format!("{id}/rslock/{what}"))
        };
        let ours = |what: &str| samples.median(&format!("{id}/trait/{what}"));
        add(format!("{name}.handoffs.of-rslock"), ratio("handoffs"), AtLeast, factor);
        add(format!("{name}.acquisitions.of-rslock"), ratio("acquisitions"), AtLeast, 0.85);
        add(format!("{name}.spread"), ours("spread"), AtMost, 2.0);
        add(format!("{name}.jain"), ours("jain"), AtLeast, 0.999);
        add(format!("{name}.wait-p99.of-ideal"), ours("wait-of-ideal"), AtMost, 1.6);
    }
    let gap = samples.median("contend/10/0ms/trait/gap") / samples.median("pair/1/ping/p50");
    add("handoff.gap.of-ping".to_owned(), gap, AtMost, 2.0);
    for workers in [2, 3] {
        for millis in [0, 1] {
            let ours =
                |what: &str| samples.median(&format!("contend/{workers}/{millis}ms/trait/{what}"));
            let name = format!("contend.{workers}.{millis}ms");
            add(format!("{name}.jain"), ours("jain"), AtLeast, 0.999);
            // A wait that only its heartbeat ends is a thousand times as long.
            let wait = ours("wait") / samples.median("pair/1/ping/p50");
            add(format!("{name}.wait-p99.of-ping"), wait, AtMost, 100.0);
        }
    }
    // Of two workers, one may take the free lock twice before the other asks.
    let crowds = contention::SETTINGS.into_iter().filter(|setting| setting.0 > 2);
    for (workers, _) in crowds.filter(|(_, millis)| *millis == 0) {
        let ours = |what: &str| samples.median(&format!("contend/{workers}/0ms/trait/{what}"));
        add(format!("handoff.commands.{workers}"), ours("commands"), AtMost, 2.02);
        add(format!("handoff.messages.{workers}"), ours("messages"), AtMost, 1.01);
    }
}

fn growing(samples: &Samples, add: &mut impl FnMut(String, f64, Side, f64)) {
    let most = WAITING[WAITING.len() - 1];
    for what in ["cpu", "script", "latency"] {
        let ratio = samples.ratio(&format!("growth/{most}/{what}"), &format!("growth/10/{what}"));
        add(format!("growth.{what}.10-to-{most}"), ratio, AtMost, 2.0);
    }
    for waiting in [10_000, most] {
        let bytes = samples.median(&format!("growth/{waiting}/bytes"));
        add(format!("waiter.bytes.{waiting}"), bytes, AtMost, 200.0);
    }
}
