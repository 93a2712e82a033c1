//! `tollgate keys`: at most two that stay a subscription, so that one can replace the other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::SignedDuration;
use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Csv, Left, Output, Table, or_dash, or_empty, printable, time};
use super::remote::Remote;
use crate::core::id::KeyId;
use crate::core::keys::{Key, KeyAdded, KeyRotated, MAX_IMPORTED_BYTES, MAX_KEYS};
use crate::core::secret::Clear;
use crate::serve::body::{BroughtKeys, Rotation};

/// What is read of a file with keys at most: more than as many as can be taken.
const MAX_KEYS_BYTES: usize = 16 * MAX_KEYS * MAX_IMPORTED_BYTES;

/// Add, list and revoke API keys
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a second key and print it, once
    #[command(after_help = "\
A subscription has at most two keys, besides one that retires. To replace one: `tollgate keys
rotate`, or add one, move callers to it, revoke the old one.")]
    Add {
        /// Whose, like `sub_1`
        subscription: SubscriptionId,
    },
    /// Make a key in the place of another, print it, once, and let the old one retire
    #[command(after_help = "\
Both pass until the overlap is over; then the old one is revoked by itself. One key of a
subscription retires at a time: rotate the other afterwards, or with --overlap 0s.

Example:
  tollgate keys rotate key_1 --overlap 7d")]
    Rotate {
        /// The one that retires, like `key_1`
        key: KeyId,
        /// How long both pass, up to 90d; 0s revokes the old one at once
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap)]
        overlap: u32,
    },
    /// Take over keys that their owner has already, one a line
    #[command(after_help = "\
Each of 16 to 256 visible ASCII characters. They are read from stdin or a file, and never from the
command line, which others can see. All are taken or none, and only if the catalog says
`key: { imported: true }`: else gateways refuse keys they have not made, unasked.

Example:
  tollgate keys import sub_1 < keys.txt")]
    Import {
        /// Whose, like `sub_1`
        subscription: SubscriptionId,
        /// Where they are, instead of stdin
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List a subscription's keys; never the keys themselves
    List {
        /// Whose, like `sub_1`
        subscription: SubscriptionId,
    },
    /// End a key for good; gateways refuse it within two seconds
    Revoke {
        /// Which, like `key_1`
        key: KeyId,
    },
}

impl Args {
    /// Whether the answer is a list.
    pub(super) fn tells_a_list(&self) -> bool {
        matches!(self.command, Command::Import { .. } | Command::List { .. })
    }
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    match &args.command {
        Command::Add { subscription } => {
            let path = format!("/v1/subscriptions/{subscription}/keys");
            let added: KeyAdded = client.post(&path, &())?;
            output.print(&added, added_text)
        }
        Command::Rotate { key, overlap } => {
            let body = Rotation { overlap_seconds: *overlap };
            let rotated: KeyRotated = client.post(&format!("/v1/keys/{key}/rotate"), &body)?;
            output.print(&rotated, rotated_text)
        }
        Command::Import { subscription, file } => {
            let keys = read_keys(file.as_deref())?;
            let path = format!("/v1/subscriptions/{subscription}/keys/import");
            let taken: Vec<Key> = client.post(&path, &BroughtKeys { keys })?;
            output.list(&taken, |keys| table(keys), |keys| rows(keys))
        }
        Command::List { subscription } => {
            let keys: Vec<Key> = client.get(&format!("/v1/subscriptions/{subscription}/keys"))?;
            output.list(&keys, |keys| table(keys), |keys| rows(keys))
        }
        Command::Revoke { key } => {
            let revoked: Key = client.delete(&format!("/v1/keys/{key}"))?;
            output.print(&revoked, |key| format!("{} of {} is revoked\n", key.id, key.subscription))
        }
    }
}

/// A duration in whole seconds.
fn overlap(text: &str) -> Result<u32, String> {
    let expected = || "expected a duration like 90s, 24h or 7d, of whole seconds".to_owned();
    // Days are 24 hours here, whatever a calendar says.
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days {
        return days.checked_mul(24 * 60 * 60).ok_or_else(expected);
    }
    let duration: SignedDuration = text.parse().map_err(|_| expected())?;
    let whole = duration.subsec_nanos() == 0;
    u32::try_from(duration.as_secs()).ok().filter(|_| whole).ok_or_else(expected)
}

/// The keys in a file or on stdin. What is wrong with them is told without them.
fn read_keys(file: Option<&Path>) -> Result<Vec<Clear>, Error> {
    let from = file.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
    let read = match file {
        Some(path) => File::open(path).and_then(read_some),
        None => read_some(io::stdin().lock()),
    };
    let problem = |problem: String| Error::Keys { from: printable(&from), problem };
    keys_of(&read.map_err(|error| problem(error.to_string()))?).map_err(problem)
}

fn read_some(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_KEYS_BYTES).unwrap_or(u64::MAX);
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One a line; empty lines are nothing.
fn keys_of(bytes: &[u8]) -> Result<Vec<Clear>, String> {
    if bytes.len() > MAX_KEYS_BYTES {
        return Err(format!("expected one or two keys, found more than {MAX_KEYS_BYTES} bytes"));
    }
    let text = str::from_utf8(bytes).map_err(|_| "expected visible ASCII".to_owned())?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(|key| Clear::new(key.to_owned())).collect())
}

fn added_text(added: &KeyAdded) -> String {
    format!(
        "key: {} ({})\n\nThis key is shown only now: hand it to its owner.\n",
        added.key.reveal(),
        added.id
    )
}

fn rotated_text(rotated: &KeyRotated) -> String {
    let old = &rotated.old;
    let until = match old.retires {
        Some(at) => format!("{} passes until {}, and is revoked then.", old.id, time(at)),
        None => format!("{} is revoked.", old.id),
    };
    format!("{}{until}\n", added_text(&rotated.added))
}

/// As in `keys list`.
pub(super) fn table(keys: &[Key]) -> String {
    let mut table = Table::new([
        ("key", Left),
        ("state", Left),
        ("origin", Left),
        ("created", Left),
        ("retires", Left),
        ("revoked", Left),
    ]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.state.word().to_owned(),
            origin(key).to_owned(),
            time(key.created),
            or_dash(key.retires.map(time)),
            or_dash(key.revoked.map(time)),
        ]);
    }
    table.print_or("No key: make one with `tollgate keys add SUBSCRIPTION`.")
}

fn origin(key: &Key) -> &'static str {
    if key.imported { "imported" } else { "made here" }
}

fn rows(keys: &[Key]) -> Csv<7> {
    let mut csv =
        Csv::new(["key", "subscription", "state", "imported", "created", "retires", "revoked"]);
    for key in keys {
        csv.row([
            key.id.to_string(),
            key.subscription.to_string(),
            key.state.word().to_owned(),
            key.imported.to_string(),
            key.created.to_string(),
            or_empty(key.retires),
            or_empty(key.revoked),
        ]);
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_whole_seconds() {
        for (text, seconds) in [
            ("0s", Some(0)),
            ("24h", Some(86_400)),
            ("7d", Some(604_800)),
            ("1h 30m", Some(5_400)),
            ("-1s", None),
            ("1.5s", None),
            ("99999999d", None),
            ("soon", None),
        ] {
            assert_eq!(overlap(text).ok(), seconds, "{text}");
        }
    }

    #[test]
    fn keys_are_lines_and_what_is_wrong_does_not_repeat_them() {
        let check = |bytes: &[u8], expected: Result<&[&str], &str>| {
            let found = keys_of(bytes);
            let found = match &found {
                Ok(keys) => Ok(keys.iter().map(Clear::reveal).collect::<Vec<_>>()),
                Err(problem) => Err(problem.as_str()),
            };
            assert_eq!(found, expected.map(<[&str]>::to_vec));
        };
        check(b"one\r\ntwo\n\n", Ok(&["one", "two"]));
        check(b"one", Ok(&["one"]));
        check(b"", Ok(&[]));
        check(b"s3cret\xff", Err("expected visible ASCII"));
        let long = vec![b'a'; MAX_KEYS_BYTES + 1];
        check(&long, Err("expected one or two keys, found more than 8192 bytes"));
    }
}
