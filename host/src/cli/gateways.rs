//! `tollgate gateways`: configured Envoys and their tokens.

use clap::Subcommand;

use super::error::Error;
use super::output::{Left, Output, Right, Table, or_dash, printable, time};
use super::remote::Remote;
use crate::core::gateways::{Gateway, GatewayAdded};
use crate::serve::body::NewGateway;

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
    /// List gateways
    List,
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
    }
}

fn table(gateways: &[Gateway]) -> String {
    let mut table = Table::new([
        ("gateway", Left),
        ("name", Left),
        ("created", Left),
        ("last seen", Left),
        ("processes", Right),
    ]);
    for gateway in gateways {
        table.row([
            gateway.id.to_string(),
            gateway.name.clone(),
            time(gateway.created),
            or_dash(gateway.last_seen.map(time)),
            gateway.live_boots.to_string(),
        ]);
    }
    table.print_or("No gateway yet: make one with `tollgate gateways add NAME`.")
}
