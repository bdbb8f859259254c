//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::speed::Speed;

/// Usage text.
pub(crate) const USAGE: &str = "\
usage: plan_queue [--speed N] [FILE]

Plans and applies of many pull requests take turns on the keys of their projects.

  --speed N  go N times faster than the file's times, 0.01 to 100000 (default: 40)
  --help     print this
  FILE       the workload, JSON lines (default: the one that is shipped)
";

/// Parsed command line.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Let the requests of a workload take turns.
    Run {
        /// The workload; `None` is the one that is shipped.
        file: Option<PathBuf>,
        /// Speed-up.
        speed: Speed,
    },
    /// Say how the program is called.
    Help,
}

/// Reads the arguments; what is wrong with them is said as a sentence.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let (mut file, mut speed) = (None, None);
    let mut only_files = false;
    while let Some(arg) = args.next() {
        let option = arg.to_str().filter(|text| !only_files && text.starts_with('-'));
        match option {
            Some("-h" | "--help") => return Ok(Command::Help),
            Some("--") => only_files = true,
            Some("--speed") => {
                let value = args.next().ok_or("--speed: the number is missing")?;
                once("--speed", &mut speed, Speed::parse(&value.to_string_lossy())?)?;
            }
            Some(text) => match text.strip_prefix("--speed=") {
                Some(value) => once("--speed", &mut speed, Speed::parse(value)?)?,
                None => return Err(format!("`{}` is no option", text.escape_debug())),
            },
            None => once("FILE", &mut file, PathBuf::from(arg))?,
        }
    }
    Ok(Command::Run { file, speed: speed.unwrap_or(Speed::USUAL) })
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name}: given twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from))
    }

    fn run(file: Option<&str>, speed: &str) -> Result<Command, String> {
        Ok(Command::Run { file: file.map(PathBuf::from), speed: Speed::parse(speed)? })
    }

    #[test]
    fn nothing_runs_the_shipped_workload() {
        assert_eq!(read(&[]), run(None, "40"));
    }

    #[test]
    fn options_stand_anywhere() {
        assert_eq!(read(&["a.jsonl", "--speed", "2"]), run(Some("a.jsonl"), "2"));
        assert_eq!(read(&["--speed=0.5", "--", "-x"]), run(Some("-x"), "0.5"));
        assert_eq!(read(&["a.jsonl", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        let problem = |args| read(args).unwrap_err();
        assert_eq!(problem(&["--fast"]), "`--fast` is no option");
        assert_eq!(problem(&["--speed"]), "--speed: the number is missing");
        assert_eq!(problem(&["--speed=1", "--speed=1"]), "--speed: given twice");
        assert_eq!(problem(&["a", "b"]), "FILE: given twice");
        assert!(problem(&["--speed", "slow"]).contains("`slow` is not a number"));
    }
}
