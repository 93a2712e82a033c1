//! `tollgate keys`: at most two live ones a subscription, so that one can replace the other.

use clap::Subcommand;
use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Left, Output, Table, or_dash, time};
use super::remote::Remote;
use crate::core::id::KeyId;
use crate::core::keys::{Key, KeyAdded};

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
To replace a key: add one, move callers to it, revoke the old one. A subscription has at most
two live keys.")]
    Add {
        /// Whose, like `sub_1`
        subscription: SubscriptionId,
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

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    match args.command {
        Command::Add { subscription } => {
            let path = format!("/v1/subscriptions/{subscription}/keys");
            let added: KeyAdded = client.post(&path, &())?;
            output.print(&added, |added| {
                format!(
                    "key: {} ({})\n\nThis key is shown only now: hand it to its owner.\n",
                    added.key.reveal(),
                    added.id
                )
            })
        }
        Command::List { subscription } => {
            let keys: Vec<Key> = client.get(&format!("/v1/subscriptions/{subscription}/keys"))?;
            output.print(&keys, |keys| table(keys))
        }
        Command::Revoke { key } => {
            let revoked: Key = client.delete(&format!("/v1/keys/{key}"))?;
            output.print(&revoked, |key| format!("{} of {} is revoked\n", key.id, key.subscription))
        }
    }
}

fn table(keys: &[Key]) -> String {
    let mut table = Table::new([("key", Left), ("created", Left), ("revoked", Left)]);
    for key in keys {
        table.row([key.id.to_string(), time(key.created), or_dash(key.revoked.map(time))]);
    }
    table.print_or("No key: make one with `tollgate keys add SUBSCRIPTION`.")
}
