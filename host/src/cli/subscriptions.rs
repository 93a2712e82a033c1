//! `tollgate subscriptions`: who uses which product.

mod show;

use std::num::{NonZeroU32, NonZeroU64};

use clap::Subcommand;
use jiff::Timestamp;
use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Csv, Left, Output, Table, minute, or_dash, or_empty, printable, time};
use super::remote::Remote;
use crate::client::Client;
use crate::core::subscriptions::{
    Overridden, Own, PlanChanged, State, Subscription, SubscriptionAdded, SubscriptionDetails,
};
use crate::serve::body::{Expiry, NewOverride, NewPlan, NewSubscription};

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
        /// Let no calls through until it is approved; its first billing period begins then
        #[arg(long)]
        submitted: bool,
        /// When it ends by itself, like 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<Timestamp>,
    },
    /// List subscriptions
    List,
    /// Show everything about one: its periods, keys, limits and own numbers
    Show(Which),
    /// Approve what was submitted: it may call, and its first billing period begins now
    Approve(Which),
    /// Reject what was submitted: it ends for good, and nothing is owed
    Reject(Which),
    /// Let no calls through until it is resumed; its periods go on
    Suspend(Which),
    /// Let calls through again
    Resume(Which),
    /// End it for good; what was used is billed at its period's end
    Cancel(Which),
    /// Set when it ends by itself; what was used is billed at its period's end
    #[command(after_help = "\
Gateways know the time ahead and refuse from then on, to the second.

Example:
  tollgate subscriptions expire sub_1 --at 2027-01-01T00:00:00+01:00")]
    Expire {
        #[command(flatten)]
        which: Which,
        /// When, like 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME", required_unless_present = "never")]
        at: Option<Timestamp>,
        /// It does not end by itself
        #[arg(long, conflicts_with = "at")]
        never: bool,
    },
    /// Give it numbers of its own for a limit, instead of its product's
    #[command(after_help = "\
They hold at gateways within two seconds. When a quota is lowered, units that gateways hold are
called back first.

Example:
  tollgate subscriptions override sub_1 --limit monthly --units 50000
  tollgate subscriptions override sub_1 --limit monthly --clear")]
    Override {
        #[command(flatten)]
        which: Which,
        /// The limit's id in its product
        #[arg(long, value_name = "ID")]
        limit: String,
        /// Calls of a rate, units of a quota
        #[arg(long, value_name = "N", required_unless_present = "clear")]
        units: Option<NonZeroU64>,
        /// The size of a token bucket; the product's if left out
        #[arg(long, value_name = "N", requires = "units")]
        burst: Option<NonZeroU32>,
        /// Back to the product's numbers
        #[arg(long, conflicts_with_all = ["units", "burst"])]
        clear: bool,
    },
    /// Change its product: limits at once, prices from its next billing period on
    #[command(after_help = "\
Gateways enforce the new limits within two seconds; limits of the same id keep what was used. The
billing period that has begun is priced by the old product to its end. Both products must be
billed by the same period, and limits of the same id must count alike.")]
    ChangePlan {
        #[command(flatten)]
        which: Which,
        /// The new product's id in the catalog
        #[arg(long, value_name = "ID")]
        product: String,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Which, like `sub_1`
    #[arg(value_name = "SUBSCRIPTION")]
    id: SubscriptionId,
}

impl Args {
    /// Whether the answer is a list.
    pub(super) fn tells_a_list(&self) -> bool {
        matches!(self.command, Command::List)
    }
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    let change = |which: &Which, verb| change_state(&client, which.id, verb, output);
    match &args.command {
        Command::Add { product, consumer, name, submitted, expires } => {
            let body = NewSubscription {
                product: product.clone(),
                consumer: consumer.clone(),
                name: name.clone(),
                submitted: *submitted,
                expires: *expires,
            };
            let added: SubscriptionAdded = client.post("/v1/subscriptions", &body)?;
            output.print(&added, added_text)
        }
        Command::List => {
            let all: Vec<Subscription> = client.get("/v1/subscriptions")?;
            output.list(&all, |all| table(all), |all| rows(all))
        }
        Command::Show(which) => {
            let details: SubscriptionDetails =
                client.get(&format!("/v1/subscriptions/{}", which.id))?;
            output.print(&details, show::text)
        }
        Command::Approve(which) => change(which, "approve"),
        Command::Reject(which) => change(which, "reject"),
        Command::Suspend(which) => change(which, "suspend"),
        Command::Resume(which) => change(which, "resume"),
        Command::Cancel(which) => change(which, "cancel"),
        Command::Expire { which, at, never: _ } => {
            let path = format!("/v1/subscriptions/{}/expire", which.id);
            let changed: Subscription = client.post(&path, &Expiry { at: *at })?;
            output.print(&changed, expiry_text)
        }
        Command::Override { which, limit, units, burst, clear: _ } => {
            let own = units.map(|units| Own { units, burst: *burst });
            let path = format!("/v1/subscriptions/{}/override", which.id);
            let body = NewOverride { limit: limit.clone(), own };
            let overridden: Overridden = client.post(&path, &body)?;
            output.print(&overridden, overridden_text)
        }
        Command::ChangePlan { which, product } => {
            let path = format!("/v1/subscriptions/{}/change-plan", which.id);
            let changed: PlanChanged = client.post(&path, &NewPlan { product: product.clone() })?;
            output.print(&changed, plan_text)
        }
    }
}

fn change_state(
    client: &Client,
    id: SubscriptionId,
    verb: &str,
    output: Output,
) -> Result<String, Error> {
    let changed: Subscription = client.post(&format!("/v1/subscriptions/{id}/{verb}"), &())?;
    output.print(&changed, |changed| format!("{} is {}\n", changed.id, changed.state.word()))
}

fn added_text(added: &SubscriptionAdded) -> String {
    let subscription = &added.subscription;
    let begins = match subscription.state {
        State::Submitted => "once it is approved".to_owned(),
        _ => format!("from {}", minute(subscription.anchor)),
    };
    let ends = subscription.expires.map_or_else(String::new, |at| format!(", until {}", time(at)));
    format!(
        "{}: {} uses {}, {begins}{ends}\n\nkey: {} ({})\n\nThis key is shown only now: hand it to \
         its owner.\n",
        subscription.id,
        printable(&subscription.consumer),
        printable(&subscription.product),
        added.key.reveal(),
        added.key_id,
    )
}

fn expiry_text(changed: &Subscription) -> String {
    match changed.expires {
        Some(at) => format!("{} ends {}\n", changed.id, time(at)),
        None => format!("{} does not end by itself\n", changed.id),
    }
}

fn overridden_text(overridden: &Overridden) -> String {
    let whose = if overridden.own.is_some() { "its own" } else { "as its product has it" };
    format!(
        "{} {}: {} ({whose})\n",
        overridden.subscription,
        printable(&overridden.limit),
        show::rule(&overridden.in_force)
    )
}

fn plan_text(changed: &PlanChanged) -> String {
    let subscription = &changed.subscription;
    let from = changed.priced_from.map_or_else(
        || "from its approval on".to_owned(),
        |from| format!("for periods from {} on", minute(from)),
    );
    let mut text = format!(
        "{} uses {} now, and is priced by it {from}\n",
        subscription.id,
        printable(&subscription.product)
    );
    for limit in &changed.dropped_overrides {
        let line = format!("dropped its own numbers for {}, a limit gone\n", printable(limit));
        text.push_str(&line);
    }
    text
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
            since(subscription),
            or_dash(subscription.name.clone()),
        ]);
    }
    table.print_or(
        "No subscription yet: make one with `tollgate subscriptions add --product ID --consumer \
         NAME`.",
    )
}

/// When its periods began; nothing before they did.
fn since(subscription: &Subscription) -> String {
    let began = !matches!(subscription.state, State::Submitted | State::Rejected);
    or_dash(began.then(|| minute(subscription.anchor)))
}

fn rows(all: &[Subscription]) -> Csv<9> {
    let mut csv = Csv::new([
        "subscription",
        "consumer",
        "product",
        "state",
        "created",
        "anchor",
        "expires",
        "ended",
        "name",
    ]);
    for subscription in all {
        csv.row([
            subscription.id.to_string(),
            subscription.consumer.clone(),
            subscription.product.clone(),
            subscription.state.word().to_owned(),
            subscription.created.to_string(),
            subscription.anchor.to_string(),
            or_empty(subscription.expires),
            or_empty(subscription.ended),
            or_empty(subscription.name.as_ref()),
        ]);
    }
    csv
}
