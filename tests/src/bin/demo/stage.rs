//! Everything that runs: the sample API, the host, Envoy, and the directory they write to.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tollgate_tests::build;
use tollgate_tests::envoy::{self, Envoy, Installation};
use tollgate_tests::host::Host;
use tollgate_tests::paths::{self, StateDir};
use tollgate_tests::sample_api::SampleApi;

use crate::cast::Part;
use crate::failure::Failure;

/// Any port the system has free.
const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What the demo sells.
const CATALOG: &str = "catalogs/demo.yaml";
/// The operation that everybody calls.
const OPERATION: &str = "/address/validate";

/// What runs. Dropping it ends all of it, callers first.
pub(crate) struct Stage {
    pub(crate) envoy: Envoy,
    pub(crate) host: Host,
    pub(crate) api: SampleApi,
    pub(crate) places: Places,
}

/// Where things are.
#[derive(Clone)]
pub(crate) struct Places {
    pub(crate) plugin: &'static Path,
    pub(crate) host: &'static Path,
    pub(crate) envoy: &'static Installation,
    pub(crate) catalog: PathBuf,
    pub(crate) data: PathBuf,
    /// Logs and configuration.
    pub(crate) state: PathBuf,
}

/// A subscription that plays a part.
pub(crate) struct Subscriber {
    pub(crate) part: &'static Part,
    pub(crate) subscription: Subscription,
}

/// A subscription and its key.
pub(crate) struct Subscription {
    /// Like `sub_1`.
    pub(crate) id: String,
    /// Like `key_1`.
    pub(crate) key_id: String,
    /// In clear.
    pub(crate) key: String,
}

#[derive(Deserialize)]
struct GatewayAdded {
    token: String,
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

impl Places {
    /// Builds and finds what is needed. Nothing runs yet.
    pub(crate) fn find(state: &StateDir) -> Result<Self, Failure> {
        println!("Building the plugin and the host");
        Ok(Self {
            plugin: build::plugin()?,
            host: build::host()?,
            envoy: envoy::find()?,
            catalog: paths::root().join(CATALOG),
            data: state.join("data"),
            state: state.path().to_owned(),
        })
    }
}

impl Stage {
    /// Starts everything, the gateway last.
    pub(crate) fn set(places: Places) -> Result<Self, Failure> {
        let api = SampleApi::start().map_err(Failure::io("start the sample API"))?;
        let host =
            Host::start(places.host, &places.catalog, &places.data, FREE_PORT, &places.state)?;
        let gateway: GatewayAdded = host.ask(&["gateways", "add", "demo"])?;
        let configuration = host.run(&[
            "envoy-config",
            "--plugin",
            &places.plugin.to_string_lossy(),
            "--upstream",
            &api.address().to_string(),
            "--host-address",
            &host.address().to_string(),
            "--listen",
            &FREE_PORT.to_string(),
            "--admin",
            &FREE_PORT.to_string(),
        ])?;
        let file = places.state.join("envoy.yaml");
        fs::write(&file, configuration).map_err(Failure::io("write Envoy's configuration"))?;
        let envoy = Envoy::start(places.envoy, &file, &gateway.token, &places.state)?;
        Ok(Self { envoy, host, api, places })
    }

    /// Says what runs where.
    pub(crate) fn announce(&self) {
        let shown = |path: &Path| {
            let path = path.strip_prefix(paths::root()).unwrap_or(path);
            path.display().to_string()
        };
        println!("\nRunning");
        println!("  sample API  http://{}", self.api.address());
        println!("  host        http://{}", self.host.address());
        println!("  gateway     http://{}", self.envoy.listener());
        println!("              {}", self.places.envoy);
        println!("              {}", shown(self.places.plugin));
        println!("  catalog     {}", shown(&self.places.catalog));
    }

    /// The operation that everybody calls, through the gateway.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{OPERATION}", self.envoy.listener())
    }

    /// Makes a subscription for each part.
    pub(crate) fn cast(&self, parts: &'static [Part]) -> Result<Vec<Subscriber>, Failure> {
        parts
            .iter()
            .map(|part| {
                let consumer = format!("{}-user", part.product);
                let subscription = self.subscribe(part.product, &consumer)?;
                Ok(Subscriber { part, subscription })
            })
            .collect()
    }

    /// Makes a subscription.
    pub(crate) fn subscribe(&self, product: &str, consumer: &str) -> Result<Subscription, Failure> {
        let subscription = ["--product", product, "--consumer", consumer];
        let add = [&["subscriptions", "add"], &subscription[..]].concat();
        let added: SubscriptionAdded = self.host.ask(&add)?;
        Ok(Subscription { id: added.subscription.id, key_id: added.key_id, key: added.key })
    }
}
