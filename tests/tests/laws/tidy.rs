//! What must be true of the project's files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tollgate_tests::paths;

use crate::world::plugin;

/// As rustfmt has it for code.
const MAX_LINE_CHARS: usize = 100;
const MAX_ARCHITECTURE_LINES: usize = 120;
/// Packages in the lock file: what a fresh machine compiles, wasmtime and its compiler among them.
const MAX_PACKAGES: usize = 320;
/// What the project is written in.
const KINDS: [&str; 10] =
    ["rs", "toml", "md", "yaml", "json", "sql", "wat", "lock", "txt", "proptest-regressions"];
/// Files without an extension.
const NAMED: [&str; 3] = ["LICENSE", ".gitignore", "run"];
/// What does not belong into a commit, each in two parts so that this file passes too.
const FORBIDDEN: [(&str, &str); 7] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("todo", "!("),
    ("dbg", "!("),
    ("#[ign", "ore"),
    ("/wo", "rk/"),
    ("/ro", "ot/"),
];

/// Files under version control or about to be, with their text.
fn files() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(paths::root())
        .output()
        .expect("git lists the project's files");
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).expect("plain file names");
    names
        .lines()
        // Listed, but deleted in the work tree.
        .filter(|name| paths::root().join(name).exists())
        .map(|name| {
            let text = fs::read_to_string(paths::root().join(name));
            (name.to_owned(), text.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect()
}

fn has_kind(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == kind)
}

#[test]
fn files_are_of_known_kinds() {
    let known = |name: &str| {
        let file = Path::new(name).file_name().and_then(|it| it.to_str()).unwrap_or_default();
        NAMED.contains(&file) || KINDS.iter().any(|kind| has_kind(name, kind))
    };
    let unknown: Vec<String> =
        files().into_iter().map(|(name, _)| name).filter(|name| !known(name)).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn prose_is_as_wide_as_code() {
    let mut wrong = Vec::new();
    for (name, text) in files().iter().filter(|(name, _)| has_kind(name, "md")) {
        for (number, line) in text.lines().enumerate() {
            let too_long = line.chars().count() > MAX_LINE_CHARS;
            // A table's row cannot be broken.
            if too_long && !line.starts_with('|') {
                wrong.push(format!("{name}:{}", number + 1));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn files_end_with_one_line_break_and_lines_without_blanks() {
    let mut wrong = Vec::new();
    for (name, text) in files() {
        let blank = |line: &str| line.ends_with([' ', '\t', '\r']);
        let blanks = text.lines().enumerate().filter(|(_, line)| blank(line));
        wrong.extend(blanks.map(|(number, _)| format!("{name}:{}", number + 1)));
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn nothing_unfinished_is_committed() {
    let mut wrong = Vec::new();
    for (name, text) in files() {
        if has_kind(&name, "lock") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (first, second) in FORBIDDEN {
                if line.contains(&format!("{first}{second}")) {
                    wrong.push(format!("{name}:{} has {first}{second}", number + 1));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn dependencies_stay_few() {
    let lock = fs::read_to_string(paths::root().join("Cargo.lock")).expect("a lock file");
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(packages <= MAX_PACKAGES, "{packages} packages, at most {MAX_PACKAGES}");
}

/// `ARCHITECTURE.md` in words between backticks, outside of code blocks.
fn named_by_architecture() -> Vec<String> {
    let text = fs::read_to_string(paths::root().join("ARCHITECTURE.md")).expect("the codemap");
    assert!(
        text.lines().count() <= MAX_ARCHITECTURE_LINES,
        "at most {MAX_ARCHITECTURE_LINES} lines"
    );
    let prose = text.split("```").step_by(2);
    let quoted = prose.flat_map(|part| part.split('`').skip(1).step_by(2));
    quoted.map(str::to_owned).collect()
}

#[test]
fn architecture_names_only_what_exists() {
    let rust = files().into_iter().filter(|(name, _)| has_kind(name, "rs"));
    let sources: String = rust.map(|(_, text)| text).collect();
    let kinds = ["struct ", "enum ", "trait ", "type ", "const ", "mod ", "fn "];
    let defined: BTreeSet<&str> = kinds
        .iter()
        .flat_map(|kind| sources.split(kind).skip(1))
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
        .collect();
    let is_missing = |name: &String| {
        let is_path = name.contains('/') && !name.starts_with('/') && !name.contains(' ');
        if is_path || has_kind(name, "rs") {
            return !paths::root().join(name).exists();
        }
        // A type, or something by its path: `Store`, `Price::times`.
        let mut parts = name.split("::");
        let is_word = |part: &str| part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let is_name = name.contains("::") || name.starts_with(char::is_uppercase);
        let is_constant = !name.contains(char::is_lowercase);
        is_name
            && !is_constant
            && parts.clone().all(is_word)
            && !parts.all(|part| defined.contains(part))
    };
    let missing: Vec<String> = named_by_architecture().into_iter().filter(is_missing).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_plugin_imports_only_what_it_uses() {
    insta::assert_snapshot!(plugin().imports().join("\n"), @r"
    env.proxy_continue_stream
    env.proxy_define_metric
    env.proxy_get_buffer_bytes
    env.proxy_get_header_map_pairs
    env.proxy_get_header_map_value
    env.proxy_get_property
    env.proxy_get_shared_data
    env.proxy_http_call
    env.proxy_increment_metric
    env.proxy_log
    env.proxy_record_metric
    env.proxy_replace_header_map_value
    env.proxy_send_local_response
    env.proxy_set_effective_context
    env.proxy_set_property
    env.proxy_set_shared_data
    env.proxy_set_tick_period_milliseconds
    wasi_snapshot_preview1.clock_time_get
    wasi_snapshot_preview1.environ_get
    wasi_snapshot_preview1.environ_sizes_get
    wasi_snapshot_preview1.fd_write
    wasi_snapshot_preview1.proc_exit
    wasi_snapshot_preview1.random_get
    ");
}

#[test]
fn the_plugin_exports_only_what_envoy_calls() {
    insta::assert_snapshot!(plugin().exports().join("\n"), @r"
    _initialize
    proxy_abi_version_0_2_1
    proxy_on_configure
    proxy_on_context_create
    proxy_on_delete
    proxy_on_done
    proxy_on_http_call_response
    proxy_on_log
    proxy_on_memory_allocate
    proxy_on_request_headers
    proxy_on_tick
    proxy_on_vm_start
    ");
}
