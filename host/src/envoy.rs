//! Envoy's configuration for a gateway, from one commented template.
//!
//! The template is a whole configuration; the pieces that belong to Tollgate stand between
//! `#[name where it goes` and `#]`. Printed whole, those marks are left out; printed for an Envoy
//! that exists already, only the pieces are, each under the words of its mark.

mod endpoint;
mod geoip_file;
mod plugin_file;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderName;

pub(crate) use endpoint::Endpoint;
pub(crate) use geoip_file::{GeoipError, GeoipFile};
pub(crate) use plugin_file::{PluginError, PluginFile};

const TEMPLATE: &str = include_str!("envoy/template.yaml");
/// The pieces that are left out unless asked for.
const ADMIN: &str = "admin";
const GEOIP: &str = "geoip";

/// What a configuration is made from, all of it checked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where callers connect.
    pub(crate) listen: SocketAddr,
    /// The API.
    pub(crate) upstream: Endpoint,
    /// `tollgate serve`.
    pub(crate) host: Endpoint,
    /// Envoy's admin interface, if it shall have one.
    pub(crate) admin: Option<SocketAddr>,
    /// The filter.
    pub(crate) plugin: PluginFile,
    /// The header that holds the caller's key.
    pub(crate) key_header: HeaderName,
    /// Where addresses are, if calls shall be counted by country.
    pub(crate) geoip: Option<GeoipFile>,
    /// Report the bytes of every call.
    pub(crate) bytes: bool,
    /// Refuse nothing, and count what would have been.
    pub(crate) observe: bool,
}

impl Settings {
    /// A configuration Envoy can be started with.
    pub(crate) fn whole(&self) -> String {
        let mut text = String::new();
        for piece in pieces() {
            if piece.mark.is_none_or(|(name, _)| self.has(name)) {
                text.extend(piece.lines.iter().flat_map(|line| [*line, "\n"]));
            }
        }
        self.fill(&text)
    }

    /// What an Envoy that is there already needs besides, each piece under where it goes.
    pub(crate) fn filter_only(&self) -> String {
        let mut text = "# What an Envoy needs to work with Tollgate, by `tollgate envoy-config`.\n\
            # Its environment holds TOLLGATE_GATEWAY_TOKEN, made by `tollgate gateways add NAME`.\n"
            .to_owned();
        for piece in pieces() {
            let Some((name, place)) = piece.mark else {
                continue;
            };
            // What an Envoy has for its operators is there already.
            if name == ADMIN || !self.has(name) {
                continue;
            }
            let indent = piece.indent();
            // Writing to a String cannot fail.
            let _ = write!(text, "\n#### {place}\n");
            for line in &piece.lines {
                let _ = writeln!(text, "{}", line.get(indent..).unwrap_or_default());
            }
        }
        self.fill(&text)
    }

    /// Whether a piece of the template is part of this configuration.
    fn has(&self, name: &str) -> bool {
        match name {
            ADMIN => self.admin.is_some(),
            GEOIP => self.geoip.is_some(),
            _ => true,
        }
    }

    fn fill(&self, text: &str) -> String {
        let admin = self.admin.map_or_else(Default::default, address);
        [
            ("listen", address(self.listen)),
            ("admin", admin),
            ("upstream", (self.upstream.host.clone(), self.upstream.port)),
            ("host", (self.host.host.clone(), self.host.port)),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (name, (host, port))| {
            text.replace(&format!("${{{name}.host}}"), &scalar(&host))
                .replace(&format!("${{{name}.port}}"), &port.to_string())
        })
        .replace("${key_header}", &scalar(self.key_header.as_str()))
        .replace("${bytes}", if self.bytes { r#","bytes":true"# } else { "" })
        .replace("${mode}", if self.observe { r#","mode":"observe""# } else { "" })
        .replace("${geoip}", &scalar(self.geoip.as_ref().map_or("", GeoipFile::path)))
        .replace("${plugin}", &scalar(self.plugin.path()))
    }
}

fn address(address: SocketAddr) -> (String, u16) {
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.to_string(),
    };
    (host, address.port())
}

/// A double-quoted scalar: JSON's strings are YAML's.
fn scalar(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Lines of the template, marked as a piece or between two of them.
struct Piece {
    /// Its name, and where it goes in a configuration that exists.
    mark: Option<(&'static str, &'static str)>,
    lines: Vec<&'static str>,
}

impl Piece {
    fn indent(&self) -> usize {
        let spaces = |line: &&str| line.len() - line.trim_start().len();
        let filled = self.lines.iter().filter(|line| !line.trim().is_empty());
        filled.map(spaces).min().unwrap_or(0)
    }
}

fn pieces() -> Vec<Piece> {
    let start = |mark| Piece { mark, lines: Vec::new() };
    let mut pieces = Vec::new();
    let mut piece = start(None);
    for line in TEMPLATE.lines() {
        if let Some(mark) = line.strip_prefix("#[") {
            pieces.push(piece);
            piece = start(Some(mark.split_once(' ').unwrap_or((mark, ""))));
        } else if line.starts_with("#]") {
            pieces.push(piece);
            piece = start(None);
        } else {
            piece.lines.push(line);
        }
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            listen: "[::1]:8080".parse().unwrap(),
            upstream: "localhost:3000".parse().unwrap(),
            host: "[::1]:8430".parse().unwrap(),
            admin: None,
            plugin: PluginFile::unchecked("/opt/toll \"gate\".wasm"),
            key_header: HeaderName::from_static("x-api-key"),
            geoip: None,
            bytes: false,
            observe: false,
        }
    }

    #[test]
    fn what_is_filled_in() {
        let lines = |text: &str| {
            let filled = ["address: ", "filename: ", "- \"", "admin:", "value: '"];
            let lines = text.lines().map(str::trim_start);
            let lines = lines.filter(|line| filled.iter().any(|part| line.contains(part)));
            lines.fold(String::new(), |text, line| text + line + "\n")
        };
        insta::assert_snapshot!(lines(&settings().whole()), @r#"
        socket_address: { address: "::1", port_value: 8080 }
        use_remote_address: true
        - "x-api-key"
        code: { local: { filename: "/opt/toll \"gate\".wasm" } }
        value: '{"cluster":"tollgate_host","authority":"tollgate-host","country_header":"x-geo-country"}'
        socket_address: { address: "localhost", port_value: 3000 }
        socket_address: { address: "::1", port_value: 8430 }
        code: { local: { filename: "/opt/toll \"gate\".wasm" } }
        value: '{"role":"pin"}'
        "#);
        let observing = Settings { observe: true, ..settings() }.whole();
        assert!(observing.contains(r#""country_header":"x-geo-country","mode":"observe"}'"#));
        let all = Settings { observe: true, bytes: true, ..settings() }.whole();
        assert!(
            all.contains(r#""country_header":"x-geo-country","bytes":true,"mode":"observe"}'"#)
        );
        let geoip = Some(GeoipFile::unchecked("/opt/geo \"lite\".mmdb"));
        let located = Settings { geoip, ..settings() };
        for text in [located.whole(), located.filter_only()] {
            assert!(text.contains(r#"country_db_path: "/opt/geo \"lite\".mmdb""#), "{text}");
        }
        let admin = Some("127.0.0.1:9901".parse().unwrap());
        let with_admin = Settings { admin, ..settings() };
        assert!(with_admin.whole().contains("\nadmin:\n"));
        assert!(!with_admin.filter_only().contains("admin"));
    }

    #[test]
    fn the_pieces_alone_say_where_they_go_and_start_at_the_margin() {
        let pieces = settings().filter_only();
        let heads = pieces.lines().zip(pieces.lines().skip(1));
        let heads = heads.filter(|(line, _)| line.starts_with("####"));
        let heads =
            heads.fold(String::new(), |text, (head, first)| text + head + "\n  " + first + "\n");
        insta::assert_snapshot!(heads, @r"
        #### At the http_connection_manager that the API is called through.
          # Callers are strangers: without this Envoy would obey their x-envoy-* headers, and
        #### At the virtual host, or the route, of the API.
          # The key is between the caller and the gate; the API has no use for it. In a
        #### In http_filters of that http_connection_manager, last but for the router: what another filter refuses is no call.
          - name: tollgate
        #### In static_resources.clusters.
          # `tollgate serve`. The gate reports and asks here, beside the calls and not in their path.
        #### At the top level. It cannot come by xDS: it belongs in the file Envoy starts with.
          # A VM without traffic that lives as long as Envoy. The shared memory of a vm_id goes with its last
        ");
        let whole = settings().whole();
        for line in pieces.lines().filter(|line| !line.starts_with('#')) {
            assert!(whole.contains(line), "only in the pieces: {line}");
        }
    }

    #[test]
    fn nothing_of_the_template_is_left_over() {
        let geoip = Some(GeoipFile::unchecked("/opt/geo.mmdb"));
        let located = Settings { geoip, ..settings() };
        for text in [&settings(), &located].map(|it| [it.whole(), it.filter_only()]).concat() {
            for mark in ["${", "#[", "#]"] {
                assert!(!text.contains(mark), "{mark} in\n{text}");
            }
        }
    }
}
