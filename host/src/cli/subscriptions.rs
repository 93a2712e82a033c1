//! `tollgate subscriptions`: who uses which product.

use clap::Subcommand;
use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Left, Output, Table, minute, or_dash, printable};
use super::remote::Remote;
use crate::core::subscriptions::{Subscription, SubscriptionAdded};
use crate::serve::body::NewSubscription;

/// Subscribe consumers to products; suspend, resume, cancel
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Subscribe a consumer to a product and print its first key, once
    #[command(after_help = "\
Example:
  tollgate subscriptions add --product basic --consumer acme
  curl -H 'X-Api-Key: ...' http://127.0.0.1:8080/address/")]
    Add {
        /// The product's id in the catalog
        #[arg(long, value_name = "ID")]
        product: String,
        /// Who pays
        #[arg(long)]
        consumer: String,
        /// What to call this subscription, for people
        #[arg(long)]
        name: Option<String>,
    },
    /// List subscriptions
    List,
    /// Let no calls through until it is resumed; its periods go on
    Suspend(Which),
    /// Let calls through again
    Resume(Which),
    /// End it for good; what was used is billed at its period's end
    Cancel(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Which, like `sub_1`
    #[arg(value_name = "SUBSCRIPTION")]
    id: SubscriptionId,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    let (id, verb) = match &args.command {
        Command::Add { product, consumer, name } => {
            let body = NewSubscription {
                product: product.clone(),
                consumer: consumer.clone(),
                name: name.clone(),
            };
            let added: SubscriptionAdded = client.post("/v1/subscriptions", &body)?;
            return output.print(&added, added_text);
        }
        Command::List => {
            let all: Vec<Subscription> = client.get("/v1/subscriptions")?;
            return output.print(&all, |all| table(all));
        }
        Command::Suspend(which) => (which.id, "suspend"),
        Command::Resume(which) => (which.id, "resume"),
        Command::Cancel(which) => (which.id, "cancel"),
    };
    let changed: Subscription = client.post(&format!("/v1/subscriptions/{id}/{verb}"), &())?;
    output.print(&changed, |changed| format!("{} is {}\n", changed.id, changed.state.word()))
}

fn added_text(added: &SubscriptionAdded) -> String {
    let subscription = &added.subscription;
    format!(
        "{}: {} uses {}, from {}\n\nkey: {} ({})\n\nThis key is shown only now: hand it to its \
         owner.\n",
        subscription.id,
        printable(&subscription.consumer),
        printable(&subscription.product),
        minute(subscription.anchor),
        added.key.reveal(),
        added.key_id,
    )
}

fn table(all: &[Subscription]) -> String {
    let mut table = Table::new([
        ("subscription", Left),
        ("consumer", Left),
        ("product", Left),
        ("state", Left),
        ("since", Left),
        ("name", Left),
    ]);
    for subscription in all {
        table.row([
            subscription.id.to_string(),
            subscription.consumer.clone(),
            subscription.product.clone(),
            subscription.state.word().to_owned(),
            minute(subscription.anchor),
            or_dash(subscription.name.clone()),
        ]);
    }
    table.print_or(
        "No subscription yet: make one with `tollgate subscriptions add --product ID --consumer \
         NAME`.",
    )
}
