//! A gateway: an Envoy process, and what it takes to start it again or to change it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tollgate_tests::envoy::Envoy;
use tollgate_tests::envoy::listeners::Listeners;
use tollgate_tests::proxy::Proxy;

use super::{FREE_PORT, Filter, Parts, Stage, wait_until};
use crate::failure::Failure;

/// What an update of its listeners replaces ends within this, its connections too.
const DRAINED: [&str; 4] = ["--drain-time-s", "1", "--drain-strategy", "immediate"];
const UPDATED_WITHIN: Duration = Duration::from_secs(20);

/// What the filter's VMs get to see of Envoy's environment.
const ENVIRONMENT: &str = "host_env_keys: [TOLLGATE_GATEWAY_TOKEN]";

/// The way to the API, from its first line to its last.
const ROUTE: (&str, &str) = (" route:\n", " timeout: 60s\n");
const DIRECT: &str = " direct_response: { status: 200 }\n";

/// An Envoy process, and what it takes to start it again.
pub(crate) struct Gateway {
    pub(crate) name: &'static str,
    pub(crate) envoy: Envoy,
    /// Its listeners, if they can change.
    listeners: Option<Listeners>,
    token: String,
    directory: PathBuf,
}

#[derive(Deserialize)]
struct GatewayAdded {
    token: String,
}

impl Gateway {
    pub(super) fn start(
        stage: &Stage,
        name: &'static str,
        filter: Filter,
    ) -> Result<Self, Failure> {
        let directory = stage.directory.join(name);
        fs::create_dir_all(&directory).map_err(Failure::io("make a gateway's directory"))?;
        let GatewayAdded { token } = stage.host.ask(&["gateways", "add", name])?;
        let mut configuration = configuration(stage, filter)?;
        let mut listeners = None;
        if let Filter::Changing = filter {
            let taken = Listeners::take(&configuration, &directory.join("listeners.yaml"));
            let (taken, rest) = taken.ok_or_else(|| strange("listeners"))?;
            taken.write(taken.first()).map_err(Failure::io("write Envoy's listeners"))?;
            configuration = rest;
            listeners = Some(taken);
        }
        let file = directory.join("envoy.yaml");
        fs::write(&file, configuration).map_err(Failure::io("write Envoy's configuration"))?;
        let envoy = start(stage.parts, &directory, &token)?;
        Ok(Self { name, envoy, listeners, token, directory })
    }

    pub(super) fn boot(&self, parts: Parts) -> Result<Envoy, Failure> {
        start(parts, &self.directory, &self.token)
    }

    /// Changes its listeners while it runs, and waits until that is in force and what was before
    /// is gone.
    pub(crate) fn update(&self, change: impl Fn(&str) -> String) -> Result<(), Failure> {
        let fixed = || Failure::Unexpected("these listeners cannot change".to_owned());
        let listeners = self.listeners.as_ref().ok_or_else(fixed)?;
        let stat = |name: &str| self.envoy.stats("listener_manager.").remove(name).unwrap_or(0);
        let updates = || stat("listener_manager.lds.update_success");
        let before = updates();
        listeners
            .write(&change(listeners.first()))
            .map_err(Failure::io("write Envoy's listeners"))?;
        wait_until("the update of a listener", UPDATED_WITHIN, || {
            if stat("listener_manager.lds.update_rejected") > 0 {
                let said = self.envoy.log_tail();
                return Err(Failure::Unexpected(format!("Envoy rejects its listeners: {said}")));
            }
            let draining = stat("listener_manager.total_listeners_draining")
                + stat("listener_manager.total_filter_chains_draining")
                + stat("listener_manager.total_listeners_warming");
            Ok(updates() > before && draining == 0)
        })
    }

    /// The file of Envoy's log, over all its lives.
    pub(crate) fn log(&self) -> String {
        self.directory.join("envoy.log").to_string_lossy().into_owned()
    }

    /// Lines that the plugin wrote into Envoy's log in this life of it.
    pub(crate) fn plugin_lines(&self) -> Vec<String> {
        let text = self.envoy.log_text();
        text.lines().filter(|line| line.contains("wasm log")).map(str::to_owned).collect()
    }
}

/// What `tollgate envoy-config` prints, with what the filter's kind adds.
fn configuration(stage: &Stage, filter: Filter) -> Result<String, Failure> {
    let plugin = match filter {
        Filter::Released | Filter::Changing => Some(stage.parts.plugin),
        Filter::Faulty(_) => stage.parts.faulty,
    };
    let unbuilt = || Failure::Unexpected("the filter with faults was not built".to_owned());
    let plugin = plugin.ok_or_else(unbuilt)?;
    let host = stage.proxy.as_ref().map_or(stage.host.address(), Proxy::address);
    let mut configuration = stage.host.run(&[
        "envoy-config",
        "--plugin",
        &plugin.to_string_lossy(),
        "--upstream",
        &stage.api.address().to_string(),
        "--host-address",
        &host.to_string(),
        "--listen",
        &FREE_PORT.to_string(),
        "--admin",
        &FREE_PORT.to_string(),
    ])?;
    if let Filter::Faulty(fault) = filter {
        let told = format!("{ENVIRONMENT}, key_values: {{ TOLLGATE_FAULT: \"{fault}\" }}");
        configuration = replaced(&configuration, ENVIRONMENT, "", &told)?;
    }
    if stage.set.direct {
        configuration = replaced(&configuration, ROUTE.0, ROUTE.1, DIRECT)?;
    }
    Ok(configuration)
}

/// The text with all from `begin` to `end` replaced by this.
fn replaced(text: &str, begin: &str, end: &str, by: &str) -> Result<String, Failure> {
    let parts = text.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| strange(begin.trim()))?;
    Ok(format!("{before}{by}{after}"))
}

fn strange(what: &str) -> Failure {
    Failure::Unexpected(format!("`tollgate envoy-config` prints no {what} as it did"))
}

fn start(parts: Parts, directory: &std::path::Path, token: &str) -> Result<Envoy, Failure> {
    let file = directory.join("envoy.yaml");
    Ok(Envoy::start_with(&DRAINED, parts.envoy, &file, token, directory)?)
}
