//! Listeners that change while Envoy runs: taken out of a configuration into a file it watches.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// In a configuration as `tollgate envoy-config` prints it.
const BEGIN: &str = "  listeners:\n    - ";
const END: &str = "  clusters:\n";
const TYPE: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// The file with the listeners of one Envoy.
#[derive(Clone, Debug)]
pub struct Listeners {
    file: PathBuf,
    first: String,
}

impl Listeners {
    /// Takes the listeners out of a configuration: what is left of it watches `file`.
    ///
    /// None if it is not as expected.
    pub fn take(configuration: &str, file: &Path) -> Option<(Self, String)> {
        let (before, rest) = configuration.split_once(BEGIN)?;
        let (listeners, after) = rest.split_once(END)?;
        let watched = format!(
            "node: {{ id: fleet, cluster: fleet }}\n\
             dynamic_resources:\n  lds_config: {{ path_config_source: {{ path: {} }} }}\n",
            serde_json::Value::from(file.to_string_lossy())
        );
        let first = format!("resources:\n    - \"@type\": {TYPE}\n      {listeners}");
        let listeners = Self { file: file.to_owned(), first };
        Some((listeners, format!("{watched}{before}{END}{after}")))
    }

    /// The listeners as they were taken.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// Puts these in force, soon: Envoy looks when a whole file has taken the old one's place.
    pub fn write(&self, listeners: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, listeners)?;
        fs::rename(new, &self.file)
    }
}

/// The listeners without the filters before the router, and without a way to the API.
pub fn without_filters(listeners: &str) -> Option<String> {
    let (before, rest) = listeners.split_once("http_filters:\n")?;
    let (_, after) = rest.split_once("- name: envoy.filters.http.router\n")?;
    let router = "http_filters:\n                  - name: envoy.filters.http.router\n";
    let text = format!("{before}{router}{after}");
    Some(text.replace("domains: [\"*\"]", "domains: [\"nobody.example\"]"))
}
