//! Everything that runs: two gateways with two workers each, one host, one API, and their files.

mod gateway;
mod set;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tollgate_tests::build;
use tollgate_tests::envoy::{self, Installation};
use tollgate_tests::host::Host;
use tollgate_tests::proxy::Proxy;
use tollgate_tests::sample_api::SampleApi;
use tollgate_tests::signals;

pub(crate) use gateway::Gateway;
pub(crate) use set::{Filter, Set};

use crate::failure::Failure;
use crate::load::{Callers, one_key, plain};
use crate::window::Reached;
use crate::{load, time};

/// Any port the system has free.
const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// The gateways, each with a token of its own.
pub(crate) const GATEWAYS: [&str; 2] = ["east", "west"];
/// What everybody calls.
pub(crate) const PATH: &str = "/weather/now";
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What has to be built or found first.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    plugin: &'static Path,
    faulty: Option<&'static Path>,
    host: &'static Path,
    pub(crate) envoy: &'static Installation,
}

/// What runs. Dropping it ends all of it, callers first.
pub(crate) struct Stage {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) host: Host,
    pub(crate) api: SampleApi,
    pub(crate) proxy: Option<Proxy>,
    /// Where all of it keeps its files.
    pub(crate) directory: PathBuf,
    parts: Parts,
    set: Set,
}

/// A subscription and its key.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// Like `sub_1`.
    pub(crate) id: String,
    /// Like `key_1`.
    pub(crate) key_id: String,
    /// In clear.
    pub(crate) key: String,
}

#[derive(Deserialize)]
struct SubscriptionAdded {
    subscription: Identified,
    key_id: String,
    key: String,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

impl Parts {
    /// Builds and finds what is needed, the filter with faults only if it is. Nothing runs yet.
    pub(crate) fn find(with_faults: bool) -> Result<Self, Failure> {
        let plugin = build::plugin()?;
        let faulty = if with_faults { Some(build::plugin_with_faults()?) } else { None };
        Ok(Self { plugin, faulty, host: build::host()?, envoy: envoy::find()? })
    }
}

impl Stage {
    /// Starts everything on a new ledger.
    pub(crate) fn set(parts: Parts, set: Set, directory: &Path) -> Result<Self, Failure> {
        let api = SampleApi::start().map_err(Failure::io("start the sample API"))?;
        fs::write(directory.join("catalog.yaml"), set.catalog)
            .map_err(Failure::io("write the catalog"))?;
        let host = start_host(parts, directory, FREE_PORT)?;
        let proxy = if set.proxy {
            Some(Proxy::start(host.address()).map_err(Failure::io("start a proxy"))?)
        } else {
            None
        };
        let directory = directory.to_owned();
        let mut stage = Self { gateways: Vec::new(), host, api, proxy, directory, parts, set };
        for name in GATEWAYS {
            stage.add_gateway(name, set.filter)?;
        }
        Ok(stage)
    }

    /// Starts another gateway: its place.
    pub(crate) fn add_gateway(
        &mut self,
        name: &'static str,
        filter: Filter,
    ) -> Result<usize, Failure> {
        let gateway = Gateway::start(self, name, filter)?;
        self.gateways.push(gateway);
        Ok(self.gateways.len() - 1)
    }

    /// Makes a subscription.
    pub(crate) fn subscribe(&self, product: &str) -> Result<Subscription, Failure> {
        let words = ["subscriptions", "add", "--product", product, "--consumer", "acme"];
        let added: SubscriptionAdded = self.host.ask(&words)?;
        Ok(Subscription { id: added.subscription.id, key_id: added.key_id, key: added.key })
    }

    /// Callers of this subscription at one gateway.
    pub(crate) fn callers(
        &self,
        gateway: usize,
        of: &Subscription,
        connections: u32,
        every: Duration,
    ) -> Result<Callers, Failure> {
        Ok(Callers {
            gateway,
            address: self.address(gateway)?,
            path: PATH,
            keys: one_key(&of.key),
            headers: plain,
            label: of.id.clone(),
            connections,
            every,
        })
    }

    /// The same callers at every gateway.
    pub(crate) fn callers_everywhere(
        &self,
        of: &Subscription,
        connections: u32,
        every: Duration,
    ) -> Result<Vec<Callers>, Failure> {
        let places = 0..self.gateways.len();
        places.map(|gateway| self.callers(gateway, of, connections, every)).collect()
    }

    /// Where a gateway listens.
    pub(crate) fn address(&self, gateway: usize) -> Result<SocketAddr, Failure> {
        let gateway = self.gateways.get(gateway);
        let no_gateway = || Failure::Unexpected("no such gateway".to_owned());
        gateway.map(|it| it.envoy.listener()).ok_or_else(no_gateway)
    }

    /// Ends every Envoy at once, as a crash would.
    pub(crate) fn kill_gateways(&mut self) {
        for gateway in &mut self.gateways {
            gateway.envoy.process().kill();
        }
    }

    /// Starts every Envoy again, on other ports.
    pub(crate) fn restart_gateways(&mut self) -> Result<(), Failure> {
        for gateway in &mut self.gateways {
            gateway.envoy = gateway.boot(self.parts)?;
        }
        Ok(())
    }

    /// Starts the host again, on its old port and its data.
    pub(crate) fn restart_host(&mut self) -> Result<(), Failure> {
        self.host = start_host(self.parts, &self.directory, self.host.address())?;
        Ok(())
    }

    /// The filter's file.
    pub(crate) fn plugin(&self) -> &'static Path {
        self.parts.plugin
    }

    /// Where the ledger keeps its files.
    pub(crate) fn data(&self) -> PathBuf {
        data(&self.directory)
    }

    /// Those of the calls that reached the API: a sum by label would also hold earlier ones.
    pub(crate) fn reached<'a>(
        &self,
        calls: impl IntoIterator<Item = &'a load::Call>,
    ) -> Vec<Reached> {
        let arrivals: std::collections::HashMap<u64, time::Ns> =
            self.api.arrivals().iter().map(|it| (it.number, time::ns(it.at))).collect();
        let reached = calls.into_iter().filter_map(|call| {
            let arrived = *arrivals.get(&call.number)?;
            Some(Reached { sent: call.sent, arrived })
        });
        reached.collect()
    }

    /// Calls under this label that reached the API.
    pub(crate) fn counted(&self, of: &Subscription) -> u64 {
        let counts = self.api.counts();
        counts.iter().filter(|((label, _), _)| *label == of.id).map(|(_, calls)| calls).sum()
    }
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn start_host(parts: Parts, directory: &Path, listen: SocketAddr) -> Result<Host, Failure> {
    let catalog = directory.join("catalog.yaml");
    // What it may not write fails, instead of ending it.
    let script = directory.join("tollgate");
    let lines = format!("#!/bin/sh\ntrap '' XFSZ\nexec '{}' \"$@\"\n", parts.host.display());
    let made = fs::write(&script, lines)
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)));
    made.map_err(Failure::io("write a script"))?;
    Ok(Host::start(&script, &catalog, &data(directory), listen, directory)?)
}

/// Waits until something is so.
pub(crate) fn wait_until(
    what: &'static str,
    within: Duration,
    mut is_so: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let begun = time::now();
    while !is_so()? {
        if time::now().saturating_sub(begun) > time::span(within) {
            return Err(Failure::TooLate { what, seconds: within.as_secs() });
        }
        signals::pause(LOOK_EVERY)?;
    }
    Ok(())
}
