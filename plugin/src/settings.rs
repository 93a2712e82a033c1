//! What the proxy's configuration of the VM says.

use serde::{Deserialize, Deserializer};

/// The environment variable that holds the gateway's token.
pub const TOKEN_VARIABLE: &str = "TOLLGATE_GATEWAY_TOKEN";

/// The VM configuration, a JSON object.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What this VM is for.
    #[serde(default)]
    pub role: Role,
    /// Whether it refuses.
    #[serde(default)]
    pub mode: Mode,
    /// Envoy's name of the host's cluster.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// The `:authority` to send to it.
    #[serde(default = "default_authority")]
    pub authority: String,
    /// The request header (lower case) in which the proxy says what country a caller is in.
    #[serde(default, deserialize_with = "lower_case")]
    pub country_header: Option<String>,
    /// Whether rows tell bytes of every product. Those of a product that meters them always do.
    #[serde(default)]
    pub bytes: bool,
}

/// What a VM is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It decides requests.
    #[default]
    Gate,
    /// It only exists: shared data lives as long as some VM of its id does.
    Pin,
}

/// Whether a gateway refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What a plan does not allow is refused.
    #[default]
    Enforce,
    /// Nothing is: what would be refused passes unbilled, and is counted as such. What would be
    /// admitted is admitted and metered.
    Observe,
}

/// Why a VM cannot work, for the proxy's log.
#[derive(Debug)]
pub struct Unusable(pub String);

impl Settings {
    /// Reads the VM configuration; none at all means the defaults.
    pub fn read(text: &[u8]) -> Result<Self, Unusable> {
        let text = if text.is_empty() { b"{}" } else { text };
        serde_json::from_slice(text)
            .map_err(|error| Unusable(format!("the VM configuration cannot be read: {error}")))
    }
}

/// As a proxy spells the names of headers.
fn lower_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name: Option<String> = Option::deserialize(deserializer)?;
    Ok(name.map(|name| name.to_ascii_lowercase()))
}

fn default_cluster() -> String {
    "tollgate_host".to_owned()
}

fn default_authority() -> String {
    "tollgate-host".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_enough_and_unknown_fields_are_errors() {
        assert_eq!(Settings::read(b"").unwrap().role, Role::Gate);
        assert_eq!(Settings::read(br#"{"role":"pin"}"#).unwrap().role, Role::Pin);
        assert_eq!(Settings::read(br#"{"cluster":"c"}"#).unwrap().cluster, "c");
        assert_eq!(Settings::read(b"").unwrap().mode, Mode::Enforce);
        let settings = Settings::read(br#"{"country_header":"X-Geo","bytes":true}"#).unwrap();
        assert_eq!((settings.country_header.as_deref(), settings.bytes), (Some("x-geo"), true));
        let settings = Settings::read(b"").unwrap();
        assert_eq!((settings.country_header, settings.bytes), (None, false));
        assert_eq!(Settings::read(br#"{"mode":"observe"}"#).unwrap().mode, Mode::Observe);
        for bad in [&b"{"[..], br#"{"clutser":"c"}"#, br#"{"role":"gat"}"#, br#"{"mode":"off"}"#] {
            assert!(Settings::read(bad).is_err());
        }
    }
}
