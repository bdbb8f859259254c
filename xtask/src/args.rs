//! The command line.

use crate::terraform::Scenario;

/// Printed by `help`, and when the arguments make no sense.
pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci             everything below that checks, in order; changes no file of the project
  fmt [--fix]    check the format, or apply it
  lint           clippy, warnings are errors
  tidy           the rules of STYLE.md that a program can check
  redis          see that there is a Redis to test with; install one where apt-get can
  test           tests and doctests
  test --valkey  only the tests that start a Redis, with a Valkey in its place
  simulate [--seed S] [--seeds N | --seconds T]
                 whole systems in virtual time, many seeds on all cores
  soak --target redis|sentinel|cluster|sqlite [--seconds N] [--seed S]
                 real processes on a real store while faults strike
  soak --target redis|sentinel|cluster|sqlite --planted
                 the same with notices that are lost, which must be found
  terraform [--applies N] [--kill] [--evict] [--force-unlock] [--priorities]
            [--plans] [--redis] [--password] [--large]
                 a real Terraform takes turns at the server: N applies at once, 8
                 whose server is killed, 2 of which one loses its lock, 20 of four
                 priorities, plans that share, two servers on one Redis, a wrong
                 password, a large state; all of that without options
  page [--bless] the web page of the server in a headless Chromium; or with it, and
                 keep the pictures in docs/page
  door           redis-py and ioredis replay the commands of an Atlantis at the server
  doc            the documentation, warnings are errors
  api [--bless]  compare the public API with api/*.txt, or write it there
  features       check the crates under each of their features
  package        package the libraries, and use them from crates outside of the workspace
  deny           licences, bans and sources of the dependencies
  instructions [--bless]
                 count the instructions of the memory store and compare them with
                 docs/bench/instructions.txt, or write them there; needs valgrind
  bench NAME     measure, and compare with the targets (NAME: memory, sqlite,
                 redis, compat, cli, serve, door)
  bench redis --charts
                 the same, and keep the tables and charts in docs/bench
  help           this text
";

/// One command with its options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ci,
    Fmt { fix: bool },
    Lint,
    Tidy,
    Redis,
    Test { valkey: bool },
    Simulate { args: Vec<String> },
    Soak { target: String, args: Vec<String> },
    Terraform { scenarios: Vec<Scenario> },
    Page { bless: bool },
    Door,
    Doc,
    Api { bless: bool },
    Features,
    Package,
    Deny,
    Instructions { bless: bool },
    Bench { name: String, charts: bool },
    Help,
}

/// Reads the arguments after the program's name; `None` when they make no sense.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Option<Command> {
    let args: Vec<String> = args.into_iter().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Some(match args[..] {
        ["ci"] => Command::Ci,
        ["fmt"] => Command::Fmt { fix: false },
        ["fmt", "--fix"] => Command::Fmt { fix: true },
        ["lint"] => Command::Lint,
        ["tidy"] => Command::Tidy,
        ["redis"] => Command::Redis,
        ["test"] => Command::Test { valkey: false },
        ["test", "--valkey"] => Command::Test { valkey: true },
        ["simulate", ref args @ ..] if are_numbered(args, &["--seed", "--seeds", "--seconds"]) => {
            Command::Simulate { args: args.iter().map(|&arg| arg.to_owned()).collect() }
        }
        ["soak", "--target", target, ref args @ ..]
            if matches!(args, ["--planted"]) || are_numbered(args, &["--seed", "--seconds"]) =>
        {
            let args = args.iter().map(|&arg| arg.to_owned()).collect();
            Command::Soak { target: target.to_owned(), args }
        }
        ["terraform"] => Command::Terraform { scenarios: Scenario::ALL.to_vec() },
        ["terraform", ref args @ ..] => Command::Terraform { scenarios: scenarios(args)? },
        ["page"] => Command::Page { bless: false },
        ["page", "--bless"] => Command::Page { bless: true },
        ["door"] => Command::Door,
        ["doc"] => Command::Doc,
        ["api"] => Command::Api { bless: false },
        ["api", "--bless"] => Command::Api { bless: true },
        ["features"] => Command::Features,
        ["package"] => Command::Package,
        ["deny"] => Command::Deny,
        ["instructions"] => Command::Instructions { bless: false },
        ["instructions", "--bless"] => Command::Instructions { bless: true },
        ["bench", name] if !name.starts_with('-') => {
            Command::Bench { name: name.to_owned(), charts: false }
        }
        ["bench", "redis", "--charts"] => Command::Bench { name: "redis".to_owned(), charts: true },
        ["help" | "--help" | "-h"] => Command::Help,
        _ => return None,
    })
}

/// Reads the scenarios of a real Terraform.
fn scenarios(mut args: &[&str]) -> Option<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    while !args.is_empty() {
        let (scenario, rest) = match args {
            ["--applies", number, rest @ ..] => {
                let number = number.parse().ok().filter(|&number| number > 0);
                (Scenario::Applies(number?), rest)
            }
            ["--kill", rest @ ..] => (Scenario::Kill, rest),
            ["--evict", rest @ ..] => (Scenario::Evict, rest),
            ["--force-unlock", rest @ ..] => (Scenario::ForceUnlock, rest),
            ["--priorities", rest @ ..] => (Scenario::Priorities, rest),
            ["--plans", rest @ ..] => (Scenario::Plans, rest),
            ["--redis", rest @ ..] => (Scenario::Redis, rest),
            ["--password", rest @ ..] => (Scenario::Password, rest),
            ["--large", rest @ ..] => (Scenario::Large, rest),
            _ => return None,
        };
        scenarios.push(scenario);
        args = rest;
    }
    Some(scenarios)
}

/// Returns `true` if these are options of these names, each with its number.
fn are_numbered(args: &[&str], names: &[&str]) -> bool {
    args.chunks(2).all(|pair| {
        matches!(pair, [name, number] if names.contains(name) && number.parse::<u64>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_and_options_are_read() {
        assert_eq!(parsed("ci"), Some(Command::Ci));
        assert_eq!(parsed("fmt --fix"), Some(Command::Fmt { fix: true }));
        assert_eq!(parsed("test"), Some(Command::Test { valkey: false }));
        assert_eq!(parsed("test --valkey"), Some(Command::Test { valkey: true }));
        let args = vec!["--seeds".to_owned(), "7".to_owned()];
        assert_eq!(parsed("simulate --seeds 7"), Some(Command::Simulate { args }));
        let soak = |args: &[&str]| {
            let args = args.iter().map(|&arg| arg.to_owned()).collect();
            Some(Command::Soak { target: "redis".to_owned(), args })
        };
        assert_eq!(parsed("soak --target redis"), soak(&[]));
        let numbers = ["--seconds", "600", "--seed", "7"];
        assert_eq!(parsed("soak --target redis --seconds 600 --seed 7"), soak(&numbers));
        assert_eq!(parsed("soak --target redis --planted"), soak(&["--planted"]));
        let terraform = |scenarios: &[Scenario]| {
            let scenarios = scenarios.to_vec();
            Some(Command::Terraform { scenarios })
        };
        assert_eq!(parsed("terraform"), terraform(&Scenario::ALL));
        let asked = [Scenario::Kill, Scenario::Applies(3)];
        assert_eq!(parsed("terraform --kill --applies 3"), terraform(&asked));
        let asked = [Scenario::Evict, Scenario::ForceUnlock];
        assert_eq!(parsed("terraform --evict --force-unlock"), terraform(&asked));
        assert_eq!(parsed("door"), Some(Command::Door));
        assert_eq!(parsed("page --bless"), Some(Command::Page { bless: true }));
        assert_eq!(parsed("api"), Some(Command::Api { bless: false }));
        assert_eq!(parsed("instructions --bless"), Some(Command::Instructions { bless: true }));
        let bench = |name: &str, charts| Some(Command::Bench { name: name.to_owned(), charts });
        assert_eq!(parsed("bench memory"), bench("memory", false));
        assert_eq!(parsed("bench redis"), bench("redis", false));
        assert_eq!(parsed("bench redis --charts"), bench("redis", true));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let lines = ["", "sing", "ci --fix", "fmt --bless", "bench", "bench --memory", "api x"];
        let lines = lines.into_iter().chain(["simulate --seeds", "simulate --seeds x"]);
        let lines = lines.chain(["soak", "soak redis", "soak --target redis --seconds x"]);
        let lines = lines.chain(["terraform 3", "terraform --applies", "terraform --applies 0"]);
        for line in lines.chain(["bench memory --charts"]) {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
