//! Runs processes under strace, and reads what they did to the files of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::disk::Event;

/// Calls that change files, or sync them. Of those after `rename` none may touch the folder: the disk
/// does not know them.
const CALLS: &str = "openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename,renameat,renameat2,\
     open,creat,pwritev,pwritev2,writev,sync_file_range,truncate,fallocate,unlinkat,link,linkat,sendfile,\
     copy_file_range";

/// Why nothing can be traced on this machine.
pub(crate) fn missing() -> Option<&'static str> {
    let mut probe = Command::new("strace");
    probe
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match probe.status() {
        Err(_) => Some("there is no strace"),
        Ok(status) if !status.success() => Some("strace may not trace"),
        Ok(_) => None,
    }
}

/// The command, run under strace, which writes to this file.
pub(crate) fn traced(program: &Path, to: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Whole strings, in hexadecimal, with the paths of descriptors.
    strace.args(["-f", "-qq", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-e", "signal=none"]);
    strace.args(["-e", &format!("trace={CALLS}")]);
    // A disk takes its time, in which other processes go on.
    strace.args(["-e", "inject=fsync,fdatasync:delay_enter=1000", "-o"]).arg(to).arg(program);
    strace
}

/// Reads what was done to the files `FOLDER/PREFIX..`, and what was written to the file `said`.
pub(crate) fn read(trace: &Path, folder: &Path, prefix: &str, said: &Path) -> Vec<Event> {
    let text = fs::read_to_string(trace).unwrap();
    let reader = Reader {
        folder: folder.to_str().unwrap().to_owned(),
        prefix: prefix.to_owned(),
        said: said.to_str().unwrap().to_owned(),
    };
    reader.events(&text)
}

struct Reader {
    folder: String,
    prefix: String,
    said: String,
}

impl Reader {
    /// The events in the order in which a tracer that stops each call at its begin and its end saw them:
    /// a change happens at its end at the latest, so that a sync which began before does not cover it.
    fn events(&self, text: &str) -> Vec<Event> {
        let (mut events, mut unfinished) = (Vec::new(), BTreeMap::new());
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').expect("a thread and what it did");
            let (thread, rest): (u32, _) = (thread.parse().expect("a number"), rest.trim_start());
            if let Some(begun) = rest.strip_suffix("<detached ...>") {
                // The process ended meanwhile.
                self.begin(thread, begun, &mut events);
            } else if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                self.begin(thread, begun, &mut events);
                unfinished.insert(thread, begun.to_owned());
            } else if let Some(resumed) = rest.strip_prefix("<... ") {
                let (_, end) = resumed.split_once("resumed>").expect("the end of a call");
                let begun = unfinished.remove(&thread).expect("a call that began");
                self.end(thread, &(begun + end), &mut events);
            } else if rest.contains('(') {
                self.begin(thread, rest, &mut events);
                self.end(thread, rest, &mut events);
            }
        }
        events
    }

    /// A call begins.
    fn begin(&self, thread: u32, call: &str, events: &mut Vec<Event>) {
        let (name, arguments) = call.split_once('(').expect("arguments");
        match name {
            "fsync" | "fdatasync" => {
                if let Some(file) = path_of(arguments).and_then(|path| self.known(&path)) {
                    events.push(Event::SyncBegins { thread, file });
                }
            }
            "write" if path_of(arguments).is_some_and(|path| path == self.said) => {
                let said = String::from_utf8(strings(arguments).next().unwrap()).unwrap();
                events.extend(said.lines().map(|line| Event::Said(line.to_owned())));
            }
            _ => {}
        }
    }

    /// A call has ended.
    fn end(&self, thread: u32, call: &str, events: &mut Vec<Event>) {
        let (name, arguments) = call.split_once('(').expect("arguments");
        let (arguments, result) = arguments.rsplit_once(" = ").expect("a result");
        let arguments = arguments.trim_end().strip_suffix(')').expect("the end of the arguments");
        let arguments = arguments.trim_end();
        if result.starts_with('-') || result.starts_with('?') {
            return;
        }
        match name {
            "fsync" | "fdatasync" => {
                if path_of(arguments).and_then(|path| self.known(&path)).is_some() {
                    events.push(Event::SyncEnds { thread });
                }
            }
            "openat" => {
                let Some(file) = self.file_of(&strings(arguments).next()) else { return };
                assert!(!arguments.contains("O_TRUNC"), "not known to the disk: {call}");
                events.extend(arguments.contains("O_CREAT").then_some(Event::Open(file)));
            }
            "unlink" => {
                events.extend(self.file_of(&strings(arguments).next()).map(Event::Unlink));
            }
            "pwrite64" => {
                let Some(Some(file)) = path_of(arguments).and_then(|path| self.known(&path)) else {
                    return;
                };
                let bytes = strings(arguments).next().unwrap();
                assert_eq!(result, bytes.len().to_string(), "a part of a write");
                let (_, offset) = arguments.rsplit_once(", ").unwrap();
                events.push(Event::Write { file, offset: offset.parse().unwrap(), bytes });
            }
            "ftruncate" => {
                let Some(Some(file)) = path_of(arguments).and_then(|path| self.known(&path)) else {
                    return;
                };
                let (_, length) = arguments.rsplit_once(", ").unwrap();
                events.push(Event::Truncate { file, length: length.parse().unwrap() });
            }
            _ => {
                let by_name = strings(arguments).any(|path| self.file_of(&Some(path)).is_some());
                let by_descriptor = path_of(arguments).and_then(|path| self.known(&path)).flatten();
                assert!(!by_name && by_descriptor.is_none(), "not known to the disk: {name}");
            }
        }
    }

    fn file_of(&self, path: &Option<Vec<u8>>) -> Option<String> {
        let path = std::str::from_utf8(path.as_deref()?).ok()?;
        self.known(path).flatten()
    }

    /// `None` is no file of the store, `Some(None)` the folder. The index of the log, which is made anew
    /// after a start of the machine, is no matter.
    fn known(&self, path: &str) -> Option<Option<String>> {
        let name = path.strip_prefix(&self.folder)?;
        if name.is_empty() {
            return Some(None);
        }
        let name = name.strip_prefix('/')?;
        let is_known = name.starts_with(&self.prefix) && !name.contains('/');
        let is_memory = name.ends_with("-shm") || name.ends_with(".mail");
        (is_known && !is_memory).then(|| Some(name.to_owned()))
    }
}

/// The path of the descriptor that the arguments begin with, unless it has no name any more.
fn path_of(arguments: &str) -> Option<String> {
    let (number, rest) = arguments.split_once('<')?;
    let (path, rest) = rest.split_once('>')?;
    let is_descriptor = number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_descriptor || rest.starts_with("(deleted)") {
        return None;
    }
    String::from_utf8(unescaped(path)).ok()
}

/// The strings among the arguments, which are all hexadecimal.
fn strings(arguments: &str) -> impl Iterator<Item = Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unescaped)
}

/// The bytes of `\x00\x01`.
fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    let bytes = text.as_bytes().chunks_exact(4);
    bytes.map(|byte| (digit(byte[2]) << 4) | digit(byte[3])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn events(lines: &[String]) -> Vec<Event> {
        let (folder, prefix, said) = ("/f".to_owned(), "a".to_owned(), "/said".to_owned());
        Reader { folder, prefix, said }.events(&lines.join("\n"))
    }

    #[test]
    fn calls_are_read_as_they_overlap() {
        let (log, folder, words) = (hex("/f/a-wal"), hex("/f"), hex("/said"));
        let lines = [
            format!("7  openat(AT_FDCWD<{folder}>, \"{log}\", O_RDWR|O_CREAT, 0600) = 5<{log}>"),
            format!("7  pwrite64(5<{log}>, \"\\x01\\xff\", 2, 32) = 2"),
            format!("8  pwrite64(6<{log}>, \"\\x02\", 1, 34 <unfinished ...>"),
            format!("7  fdatasync(5<{log}> <unfinished ...>"),
            "8  <... pwrite64 resumed>) = 1".to_owned(),
            "7  <... fdatasync resumed>) = 0".to_owned(),
            format!("7  fsync(9<{folder}>) = 0"),
            format!("7  write(4<{words}>, \"{}\", 4) = 4", hex("a b\n")),
            format!("7  ftruncate(5<{log}>, 3) = 0"),
            format!("7  unlink(\"{log}\") = 0"),
        ];
        let log = || "a-wal".to_owned();
        let expected = [
            Event::Open(log()),
            Event::Write { file: log(), offset: 32, bytes: vec![1, 255] },
            Event::SyncBegins { thread: 7, file: Some(log()) },
            Event::Write { file: log(), offset: 34, bytes: vec![2] },
            Event::SyncEnds { thread: 7 },
            Event::SyncBegins { thread: 7, file: None },
            Event::SyncEnds { thread: 7 },
            Event::Said("a b".to_owned()),
            Event::Truncate { file: log(), length: 3 },
            Event::Unlink(log()),
        ];
        assert_eq!(events(&lines), expected);
    }

    #[test]
    fn what_is_not_the_stores_is_left_out() {
        let (memory, other, log) = (hex("/f/a-shm"), hex("/g/a"), hex("/f/a-wal"));
        let lines = [
            format!("7  ftruncate(5<{memory}>, 3) = 0"),
            format!("7  pwrite64(5<{other}>, \"\\x01\", 1, 0) = 1"),
            format!("7  pwrite64(5<{log}>(deleted), \"\\x01\", 1, 0) = 1"),
            format!("7  unlink(\"{log}\") = -1 ENOENT (No such file or directory)"),
            "7  +++ exited with 0 +++".to_owned(),
        ];
        assert_eq!(events(&lines), []);
    }
}
