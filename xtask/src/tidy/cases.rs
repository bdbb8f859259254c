//! The conformance cases, their table, and the contract that names them.

use std::collections::BTreeMap;

use super::{File, Tree, Violation};

const CASES: &str = "crates/lock-testkit/src/cases/";
const TABLE: &str = "crates/lock-testkit/src/table.rs";
const CONTRACTS: [&str; 2] =
    ["crates/lock-core/src/contract/backend.rs", "crates/lock-core/src/contract/inspector.rs"];

/// A promise of the contract: where it begins, its sentence as the table has it, and the cases it
/// ends in.
#[derive(Debug, PartialEq, Eq)]
struct Bullet {
    line: usize,
    sentence: String,
    cases: Vec<String>,
}

/// A row of the table: the case, and the promise that it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    promise: String,
    case: String,
}

/// Every case runs, and the table has no others.
pub(super) fn functions_and_table(tree: &Tree) -> Vec<Violation> {
    let Some(suite) = tree.file(TABLE) else {
        return vec![Violation::new(TABLE, 1, "the table of cases is missing")];
    };
    let mut violations = Vec::new();
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for Row { line, case, .. } in table(suite) {
        if rows.insert(case.clone(), line).is_some() {
            violations.push(Violation::new(TABLE, line, format!("{case} stands here twice")));
        }
    }
    if rows.is_empty() {
        violations.push(Violation::new(TABLE, 1, "`macro_rules! for_each_case` has no table"));
    }
    for file in tree.below(CASES, "rs") {
        for (line, case) in functions(file) {
            if rows.remove(&case).is_none() {
                let message = format!("{case} is not in the table in {TABLE}");
                violations.push(Violation::new(&file.path, line, message));
            }
        }
    }
    for (case, line) in rows {
        violations.push(Violation::new(TABLE, line, format!("{case} does not exist")));
    }
    violations
}

/// Every promise is held by a case, every case holds a promise, and the table says which.
pub(super) fn table_and_contract(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rows: BTreeMap<String, Row> =
        tree.file(TABLE).into_iter().flat_map(table).map(|row| (row.case.clone(), row)).collect();
    let mut unnamed = rows.clone();
    let mut untold = rows.clone();
    for path in CONTRACTS {
        let Some(file) = tree.file(path) else {
            violations.push(Violation::new(path, 1, "the contract is missing"));
            continue;
        };
        for bullet in bullets(file) {
            if bullet.cases.is_empty() {
                let message = "the promise does not end in a case, as `module::case`";
                violations.push(Violation::new(path, bullet.line, message));
            }
            for case in bullet.cases {
                unnamed.remove(&case);
                match rows.get(&case) {
                    None => {
                        let message = format!("{case} is not in the table in {TABLE}");
                        violations.push(Violation::new(path, bullet.line, message));
                    }
                    Some(row) if row.promise == bullet.sentence => drop(untold.remove(&case)),
                    // Another promise may name the case, too.
                    Some(_) => {}
                }
            }
        }
    }
    for (case, &Row { line, .. }) in &unnamed {
        let message = format!("no promise of the contract names {case}");
        violations.push(Violation::new(TABLE, line, message));
    }
    for (case, Row { line, promise, .. }) in untold {
        if !unnamed.contains_key(&case) {
            let message = format!("the promise that names {case} is not `{promise}`");
            violations.push(Violation::new(TABLE, line, message));
        }
    }
    violations
}

/// Returns the cases of one module.
fn functions(file: &File) -> impl Iterator<Item = (usize, String)> {
    let path = file.path.strip_prefix(CASES).unwrap_or(&file.path);
    // The parts of a module in files of their own are exported by the module.
    let module = path.split(['/', '.']).next().unwrap_or(path);
    file.lines().filter_map(move |(line, text)| {
        let rest = text.trim_start().strip_prefix("pub async fn ")?;
        let name = rest.split(['(', '<']).next()?;
        Some((line, format!("{module}::{name}")))
    })
}

/// Returns the rows of the table: a promise in quotes and a colon, then `module::case,` or
/// `module::case;` one a line.
fn table(suite: &File) -> Vec<Row> {
    let lines = suite
        .lines()
        .skip_while(|(_, line)| !line.contains("macro_rules! for_each_case"))
        .take_while(|(_, line)| *line != "}");
    let (mut rows, mut promise, mut is_open) = (Vec::new(), String::new(), false);
    for (line, text) in lines {
        let text = text.trim();
        if let Some(begun) = text.strip_prefix('"').filter(|_| !is_open) {
            promise.clear();
            is_open = !read_promise(begun, &mut promise);
        } else if is_open {
            is_open = !read_promise(text, &mut promise);
        } else if let Some(case) = text.strip_suffix([',', ';'])
            && is_case(case)
        {
            rows.push(Row { line, promise: promise.clone(), case: case.to_owned() });
        }
    }
    rows
}

/// Adds a line of a promise, and returns whether it is the last.
fn read_promise(text: &str, promise: &mut String) -> bool {
    let last = text.strip_suffix("\":");
    promise.push_str(last.or_else(|| text.strip_suffix('\\')).unwrap_or(text));
    last.is_some()
}

/// Returns the promises under every `# Contract` of a file.
fn bullets(file: &File) -> Vec<Bullet> {
    let mut bullets = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut in_contract = false;
    // The line after the last closes a bullet that ends the file.
    for (number, line) in file.lines().chain([(usize::MAX, "")]) {
        let doc = line.trim_start().strip_prefix("///").map(str::trim_start);
        let begins = doc.and_then(|doc| doc.strip_prefix("- ")).filter(|_| in_contract);
        if let (Some((_, text)), Some(doc), None) = (&mut open, doc, begins)
            && !doc.is_empty()
            && !doc.starts_with("# ")
        {
            text.push(' ');
            text.push_str(doc);
            continue;
        }
        if let Some((line, text)) = open.take() {
            let cases = cases_at_the_end(&text);
            bullets.push(Bullet { line, sentence: sentence(&text, &cases), cases });
        }
        open = begins.map(|text| (number, text.to_owned()));
        match doc {
            Some(doc) if doc.starts_with("# ") => in_contract = doc.trim_end() == "# Contract",
            Some(_) => {}
            None => in_contract = false,
        }
    }
    bullets
}

/// Returns the promise without the names of its cases, as text without marks: a link is its words.
fn sentence(text: &str, cases: &[String]) -> String {
    let prose = cases.first().and_then(|first| text.split_once(&format!("`{first}`")));
    let prose = prose.map_or(text, |(prose, _)| prose).trim_end_matches([' ', '(']);
    let mut plain = String::new();
    let mut rest = prose;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        let (words, after) = link.split_once(']').unwrap_or((link, ""));
        plain.push_str(words);
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain.push_str(rest);
    plain.replace('`', "")
}

/// Returns the names in backticks that a promise ends in.
fn cases_at_the_end(text: &str) -> Vec<String> {
    // A full stop parts the names from what a sentence before them speaks of.
    let is_separator =
        |text: &str| text.split([' ', ',', '(', ')']).all(|word| matches!(word, "" | "and"));
    let pieces: Vec<&str> = text.trim_end_matches(['.', ')', ' ']).split('`').collect();
    let mut cases = Vec::new();
    // Prose and code take turns; the last piece is prose, if the backticks are paired.
    for pair in pieces.rchunks(2) {
        match pair {
            [code, prose] if is_separator(prose) && is_case(code) => cases.push((*code).to_owned()),
            _ => break,
        }
    }
    cases.reverse();
    cases
}

fn is_case(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !name.is_empty() && name.chars().all(is_snake)
    };
    text.split_once("::").is_some_and(|(module, case)| is_name(module) && is_name(case))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "//! The queue.\n\npub async fn first_comes_first(f: &F) {}\n\
                         pub async fn the_silent_go<F: G>(f: &F) {}\nasync fn helper() {}\n";
    const SUITE: &str = "macro_rules! for_each_case {\n    ($m:ident) => {\n        $m! {\n            \
                         \"First come, first served, \\\n             says tokio::sync.\":\n                \
                         queue::first_comes_first;\n            \"The silent go\":\n                \
                         queue::the_silent_go;\n        }\n    };\n}\n\
                         other::row,\n";
    const BACKEND: &str = "/// A backend.\n///\n/// # Contract\n/// - First come, first served, \
                           says `tokio::sync`.\n///   `queue::first_comes_first`\n\
                           /// # Errors\n/// - none\npub trait A {\n";
    const INSPECTOR: &str = "    /// # Contract\n    /// - The silent go (`queue::the_silent_go`, and\n    \
                             ///   `queue::first_comes_first`).\n    ///\n    /// Prose.\n";

    fn found(edit: impl Fn(&str, &str) -> String) -> Vec<String> {
        let files = [
            ("crates/lock-testkit/src/cases/queue.rs", QUEUE),
            (TABLE, SUITE),
            (CONTRACTS[0], BACKEND),
            (CONTRACTS[1], INSPECTOR),
        ];
        let edited = files.map(|(path, text)| (path, edit(path, text)));
        let tree = Tree::of(&edited.each_ref().map(|(path, text)| (*path, text.as_str())));
        let mut violations = functions_and_table(&tree);
        violations.extend(table_and_contract(&tree));
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn three_that_agree_pass() {
        assert_eq!(found(|_, text| text.to_owned()), [""; 0]);
    }

    #[test]
    fn a_case_that_does_not_run_is_found() {
        let found =
            found(|_, text| text.replace("helper", "x").replace("\nasync fn", "\npub async fn"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("cases/queue.rs:5: queue::x is not in the table"), "{found:?}");
    }

    #[test]
    fn a_module_may_have_parts_in_files_of_their_own() {
        let part = "crates/lock-testkit/src/cases/queue/silent.rs";
        let (first, second) = QUEUE.split_once("pub async fn the").unwrap();
        let rest = format!("pub async fn the{second}");
        let tree = Tree::of(&[
            ("crates/lock-testkit/src/cases/queue.rs", first),
            (part, &rest),
            (TABLE, SUITE),
        ]);
        assert_eq!(functions_and_table(&tree), []);
    }

    #[test]
    fn a_row_without_a_case_is_found() {
        let found = found(|path, text| {
            if path == TABLE {
                text.to_owned()
            } else {
                text.replace("pub async fn the_silent_go", "fn a")
            }
        });
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("queue::the_silent_go does not exist"), "{found:?}");
    }

    #[test]
    fn a_row_that_stands_twice_is_found() {
        let row = "                queue::the_silent_go;\n";
        let found = found(|_, text| text.replace(row, &row.repeat(2)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("stands here twice"), "{found:?}");
    }

    #[test]
    fn a_promise_that_differs_from_the_table_is_found() {
        let found = found(|_, text| text.replace("The silent go\"", "The silent stay\""));
        let message = "the promise that names queue::the_silent_go is not `The silent stay`";
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(message), "{found:?}");
    }

    #[test]
    fn a_sentence_has_no_marks() {
        let cases = ["a::b".to_owned()];
        assert_eq!(
            sentence("It is [`X`](crate::X), `y` and [z]. `a::b`", &cases),
            "It is X, y and z."
        );
        assert_eq!(sentence("No case.", &[]), "No case.");
    }

    #[test]
    fn a_promise_without_a_case_is_found() {
        let found = found(|_, text| text.replace(").\n", ") always.\n"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("inspector.rs:2: the promise does not end in a case"),
            "{found:?}"
        );
        assert!(found[1].ends_with("no promise of the contract names queue::the_silent_go"));
    }

    #[test]
    fn a_promise_that_names_no_real_case_is_found() {
        let found = found(|path, text| match path {
            path if CONTRACTS.contains(&path) => {
                text.replace("queue::the_silent_go", "queue::gone")
            }
            _ => text.to_owned(),
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("queue::gone is not in the table"), "{found:?}");
    }

    #[test]
    fn missing_files_are_found() {
        assert_eq!(functions_and_table(&Tree::default()).len(), 1);
        assert_eq!(table_and_contract(&Tree::default()).len(), 2);
    }

    #[test]
    fn a_bullet_ends_in_as_many_cases_as_stand_there() {
        assert_eq!(
            cases_at_the_end("All `a::b` is `c::d` `e::f`, and (`g::h`)."),
            ["c::d", "e::f", "g::h"]
        );
        assert_eq!(cases_at_the_end("`A::b`"), [""; 0]);
        assert_eq!(cases_at_the_end("none"), [""; 0]);
    }
}
