//! `tollgate serve`: see [`crate::serve`].

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::Error;
use super::socket_address;
use crate::serve::{self, Settings};

/// Run the host: ledger, leases, periods, invoices, charges
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate serve --catalog catalog.yaml

The first line on stdout says where it answers; the log goes to stderr (RUST_LOG=debug says
more). The catalog is read again when it changes. Ctrl-C stops it and loses nothing.

The data directory is made at the first start. It holds the ledger, its secret, and the
operator's token, which the other commands read.")]
pub(super) struct Args {
    /// What is sold: APIs, products, prices
    #[arg(long, value_name = "FILE")]
    catalog: PathBuf,
    /// Where the ledger and its secrets are kept
    #[arg(long, value_name = "DIR", default_value = "tollgate-data")]
    data: PathBuf,
    /// Where gateways and operators connect, without TLS; port 0 takes a free one
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8430",
        value_parser = socket_address
    )]
    listen: SocketAddr,
    /// How long to wait, after a period's end, for gateways that are silent
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = not_negative)]
    close_grace: SignedDuration,
}

pub(super) fn run(args: Args) -> Result<String, Error> {
    log();
    let settings = Settings {
        catalog: args.catalog,
        data: args.data,
        listen: args.listen,
        close_grace: args.close_grace,
    };
    serve::run(&settings, |address| {
        let mut out = io::stdout().lock();
        // Nobody has to read it.
        let _ = writeln!(out, "tollgate serves on http://{address}");
        let _ = out.flush();
    })?;
    Ok(String::new())
}

fn log() {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A line that a full disk does not take would be told by `eprintln!`, which panics then, in
        // the thread of the ledger too.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn not_negative(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration =
        text.parse().map_err(|_| "expected a duration like 90s, 10m or 1h".to_owned())?;
    if duration.is_negative() {
        return Err("expected a duration that is not negative".to_owned());
    }
    Ok(duration)
}
