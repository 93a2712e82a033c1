//! `tollgate envoy-config`: see [`crate::envoy`].

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::HeaderName;

use super::error::Error;
use super::output::Output;
use super::socket_address;
use crate::envoy::{Endpoint, GeoipFile, PluginFile, Settings};

/// Print a configuration for Envoy, whole or the parts for one you have
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate envoy-config --upstream localhost:3000 --plugin plugin.wasm > envoy.yaml
  TOLLGATE_GATEWAY_TOKEN=... envoy -c envoy.yaml

The token is made by `tollgate gateways add NAME`.")]
pub(super) struct Args {
    /// The API to put behind the gate
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Endpoint,
    /// The filter, a .wasm file
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    /// Where callers connect
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:8080",
        value_parser = socket_address
    )]
    listen: SocketAddr,
    /// Where `tollgate serve` listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8430")]
    host_address: Endpoint,
    /// Open Envoy's admin interface here; whoever reaches it controls Envoy
    #[arg(long, value_name = "IP:PORT", value_parser = socket_address)]
    admin: Option<SocketAddr>,
    /// The header with the caller's key, as in the catalog; it is not passed on to the API
    #[arg(long, value_name = "NAME", default_value = "X-Api-Key")]
    key_header: HeaderName,
    /// Count calls by country, as this database of addresses has it (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    geoip: Option<PathBuf>,
    /// Report the bytes of every call, not only where a plan meters them
    #[arg(long)]
    bytes: bool,
    /// Refuse nothing: count what would be refused, meter the rest
    #[arg(long)]
    observe: bool,
    /// Only what to add to a configuration you have, and where
    #[arg(long)]
    filter_only: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    if output != Output::Table {
        return Err(Error::NotJson);
    }
    let settings = Settings {
        listen: args.listen,
        upstream: args.upstream.clone(),
        host: args.host_address.clone(),
        admin: args.admin,
        plugin: PluginFile::open(&args.plugin)?,
        key_header: args.key_header.clone(),
        geoip: args.geoip.as_deref().map(GeoipFile::open).transpose()?,
        bytes: args.bytes,
        observe: args.observe,
    };
    Ok(if args.filter_only { settings.filter_only() } else { settings.whole() })
}
