//! `tollgate gateways`: configured Envoys and their tokens.

use std::fmt::Write as _;

use clap::Subcommand;
use tollgate_pricing::id::BootId;

use super::error::Error;
use super::output::{Left, Output, Right, Table, or_dash, printable, time};
use super::remote::Remote;
use crate::core::gateways::{BootPrefix, Ended, Forgotten, Gateway, GatewayAdded, Released};
use crate::serve::body::{EndedBoot, Forget, NewGateway};

/// Make tokens for Envoys, and see which report
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a gateway and print its token, once
    #[command(after_help = "\
Example:
  tollgate gateways add edge
  TOLLGATE_GATEWAY_TOKEN=... envoy -c envoy.yaml

Replicas of one Envoy may share a gateway and its token.")]
    Add {
        /// Its name, for people
        name: String,
    },
    /// List gateways, and the units that silent processes hold
    List,
    /// Give what silent processes of a gateway hold to others
    #[command(after_help = "\
Units that were leased to a process stay charged while it is silent, because it may still be
letting calls through where this host cannot hear it. Forget it only when it is dead: what it
held is granted again, and billing periods wait for its reports no more. If it lives after all,
calls beyond a quota may have been let through. What it reports later is counted and billed.

Without --yes it only says what it would do.")]
    Forget {
        /// The gateway's name
        name: String,
        /// Which of its processes; all that were not seen for a minute otherwise
        #[arg(long, value_name = "BOOT")]
        boot: Option<BootId>,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Tell the host that a process has ended, so that what it held goes to others
    #[command(after_help = "\
`tollgate drain` does this by itself, if it reaches the host. Say it only of a process that you have
seen end: what it holds is granted again, at once if everything it counted was delivered, else once
its log was read by `tollgate ingest-spill`.")]
    Ended {
        /// The process's id, or its first 13 digits or more
        boot: BootPrefix,
        /// Everything it counted was delivered; otherwise `usage --unaccounted` shows it
        #[arg(long)]
        delivered: bool,
    },
    /// After `tollgate restore`: grant again without waiting for gateways
    #[command(after_help = "\
A restored ledger does not know what was granted since its backup. So it grants nothing of what
had begun until every process that lived at the backup has reported everything, and a minute
has passed. Release it when those it waits for are dead; `tollgate gateways list` names them.")]
    Release,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    match &args.command {
        Command::Add { name } => {
            let body = NewGateway { name: name.clone() };
            let added: GatewayAdded = client.post("/v1/gateways", &body)?;
            output.print(&added, |added| {
                format!(
                    "{} {}\n\ntoken: {}\n\nThis token is shown only now: put it into Envoy's \
                     environment as TOLLGATE_GATEWAY_TOKEN.\n",
                    added.gateway.id,
                    printable(&added.gateway.name),
                    added.token.reveal(),
                )
            })
        }
        Command::List => {
            let gateways: Vec<Gateway> = client.get("/v1/gateways")?;
            output.print(&gateways, |gateways| table(gateways))
        }
        Command::Forget { name, boot, yes } => {
            let body = Forget { gateway: name.clone(), boot: *boot, dry_run: !yes };
            let forgotten: Forgotten = client.post("/v1/gateways/forget", &body)?;
            let text = output.print(&forgotten, forgotten_text)?;
            if *yes || forgotten.boots.is_empty() { Ok(text) } else { Err(Error::Found(text)) }
        }
        Command::Ended { boot, delivered } => {
            let body = EndedBoot { boot: boot.clone(), delivered: *delivered };
            let ended: Ended = client.post("/v1/gateways/ended", &body)?;
            output.print(&ended, |Ended { boot, units, delivered, .. }| {
                let fate = if *delivered {
                    "go to others"
                } else {
                    "stay charged until its log is read, or `tollgate gateways forget`"
                };
                format!("Process {boot} has ended: {units} units {fate}.\n")
            })
        }
        Command::Release => {
            let released: Released = client.post("/v1/gateways/release", &())?;
            output.print(&released, |released| {
                format!(
                    "The ledger restored at {} grants again; {} processes had not reported \
                     everything.\n",
                    time(released.restored),
                    released.awaited
                )
            })
        }
    }
}

fn table(gateways: &[Gateway]) -> String {
    let mut table = Table::new([
        ("gateway", Left),
        ("name", Left),
        ("created", Left),
        ("last seen", Left),
        ("processes", Right),
        ("stranded", Right),
    ]);
    for gateway in gateways {
        table.row([
            gateway.id.to_string(),
            gateway.name.clone(),
            time(gateway.created),
            or_dash(gateway.last_seen.map(time)),
            gateway.live_boots.to_string(),
            gateway.stranded.to_string(),
        ]);
    }
    let mut text = table.print_or("No gateway yet: make one with `tollgate gateways add NAME`.");
    if gateways.iter().any(|gateway| gateway.stranded > 0) {
        text.push_str(
            "\nStranded units were leased to processes that are silent now. They stay charged; if \
             the\nprocesses are dead, `tollgate gateways forget NAME` gives them to others.\n",
        );
    }
    let awaited: Vec<String> = gateways
        .iter()
        .flat_map(|gateway| gateway.boots.iter().map(move |boot| (gateway, boot)))
        .filter(|(_, boot)| boot.awaited)
        .map(|(gateway, boot)| format!("{} of {}", boot.id, printable(&gateway.name)))
        .collect();
    if !awaited.is_empty() {
        let _ = write!(
            text,
            "\nThis ledger was restored, and grants nothing of what had begun until these \
             processes\nhave reported, or `tollgate gateways release`:\n  {}\n",
            awaited.join("\n  ")
        );
    }
    text
}

fn forgotten_text(forgotten: &Forgotten) -> String {
    if forgotten.boots.is_empty() {
        return "No process of this gateway is silent: nothing to forget.\n".to_owned();
    }
    let mut table = Table::new([
        ("process", Left),
        ("last seen", Left),
        ("subscription", Left),
        ("limit", Left),
        ("period", Right),
        ("units", Right),
    ]);
    for boot in &forgotten.boots {
        let (id, seen) = (boot.id.to_string(), or_dash(boot.last_seen.map(time)));
        if boot.holds.is_empty() {
            let none = || "-".to_owned();
            table.row([id.clone(), seen.clone(), none(), none(), none(), "0".to_owned()]);
        }
        for held in &boot.holds {
            table.row([
                id.clone(),
                seen.clone(),
                held.subscription.to_string(),
                held.limit.clone(),
                held.period.to_string(),
                held.units.to_string(),
            ]);
        }
    }
    let units = forgotten.units;
    let said = if forgotten.dry_run {
        format!(
            "Nothing was done. With --yes these processes are taken for dead: {units} units they \
             hold are\ngranted to others, and no billing period waits for them. If one of them \
             lives, calls beyond\na quota may be let through.\n"
        )
    } else {
        format!("Forgotten: {units} units are granted to others again.\n")
    };
    format!("{}\n{said}", table.print())
}

#[cfg(test)]
mod tests;
