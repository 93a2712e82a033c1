//! A real Envoy: found ([`find`]), started on ports of its own choice, and ended with its owner.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::client;
use crate::process::{Process, ProcessError};

mod find;
pub mod listeners;

pub use find::{FindError, Installation, find};

/// The variable from which the plugin takes its gateway's token.
pub const TOKEN_VARIABLE: &str = "TOLLGATE_GATEWAY_TOKEN";
/// Worker threads: more than one, so that every test meets VMs that share their data.
const WORKERS: &str = "2";
/// What Envoy puts before the names of metrics that a plugin defines.
const OF_PLUGINS: &str = "wasmcustom.";
/// Loading the plugin into each worker takes most of it.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running Envoy. Dropping it stops it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    listener: SocketAddr,
}

impl Envoy {
    /// Starts Envoy on a configuration file and waits until its first listener takes connections.
    ///
    /// The file's admin and listener may have port 0: the ports are read from the running Envoy.
    /// `directory` takes its log, `envoy.log`.
    pub fn start(
        envoy: &Installation,
        configuration: &Path,
        token: &str,
        directory: &Path,
    ) -> Result<Self, ProcessError> {
        Self::start_with(&[], envoy, configuration, token, directory)
    }

    /// The same, with more of Envoy's own arguments.
    pub fn start_with(
        args: &[&str],
        envoy: &Installation,
        configuration: &Path,
        token: &str,
        directory: &Path,
    ) -> Result<Self, ProcessError> {
        let log = directory.join("envoy.log");
        let address_file = directory.join("envoy.admin");
        // An address of an earlier life would be taken for this one's.
        let _ = fs::remove_file(&address_file);
        let mut process = Process::spawn(
            "Envoy",
            Command::new(&envoy.path)
                .arg("--config-path")
                .arg(configuration)
                .arg("--admin-address-path")
                .arg(&address_file)
                // Its shared memory would make it a neighbour of every other Envoy here.
                .arg("--disable-hot-restart")
                .args(["--concurrency", WORKERS])
                .args(args)
                .env(TOKEN_VARIABLE, token),
            &log,
        )?;
        let admin = process.wait_until("open its admin port", START_WITHIN, || {
            fs::read_to_string(&address_file).ok()?.trim().parse().ok()
        })?;
        let listener = process.wait_until("open its listener", START_WITHIN, || {
            let listener = first_listener(admin)?;
            TcpStream::connect(listener).ok().map(|_| listener)
        })?;
        Ok(Self { process, admin, listener })
    }

    /// Where it takes calls.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Where it answers operators.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The plugin's own counters and gauges, by name; none at all if Envoy does not answer.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        let own =
            |(name, value): (String, u64)| Some((name.strip_prefix(OF_PLUGINS)?.into(), value));
        self.stats(OF_PLUGINS).into_iter().filter_map(own).collect()
    }

    /// Envoy's counters and gauges whose names begin so; none at all if it does not answer.
    pub fn stats(&self, prefix: &str) -> BTreeMap<String, u64> {
        let agent = client::agent(Duration::from_secs(2));
        let url = format!("http://{}/stats?filter=%5E{prefix}", self.admin);
        let answer = agent.get(url).call().ok();
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string().ok());
        let read = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.unwrap_or_default().lines().filter_map(read).collect()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written in this life of it.
    pub fn log_text(&self) -> String {
        self.process.log_text()
    }

    /// The end of that.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// The program, to stop it or to look at its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The first listener of an Envoy that is ready.
fn first_listener(admin: SocketAddr) -> Option<SocketAddr> {
    let agent = client::agent(Duration::from_secs(1));
    let ready = agent.get(format!("http://{admin}/ready")).call().ok()?;
    if ready.status() != 200 {
        return None;
    }
    let text = agent
        .get(format!("http://{admin}/listeners?format=json"))
        .call()
        .ok()?
        .body_mut()
        .read_to_string()
        .ok()?;
    let listeners: Value = serde_json::from_str(&text).ok()?;
    let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
    let ip = address.get("address")?.as_str()?.parse().ok()?;
    let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
    Some(SocketAddr::new(ip, port))
}
