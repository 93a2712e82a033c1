//! A real gateway: `tollgate serve`, Envoy with two workers and the plugin, an API behind them.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use hyper::Response;
use tollgate_host::core::gateways::GatewayAdded;
use tollgate_host::core::subscriptions::SubscriptionAdded;
use tollgate_host::core::usage::{PeriodUsage, UsageReport};
use tollgate_tests::build;
use tollgate_tests::client::{self, Call, Reply};
use tollgate_tests::envoy::{self, Envoy, Installation};
use tollgate_tests::host::Host;
use tollgate_tests::paths::StateDir;
use tollgate_tests::sample_api::{Answer, SampleApi};

use crate::world::CATALOG;

/// Any port the system has free.
pub(super) const FREE_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Several syncs.
pub(super) const SAID_WITHIN: Duration = Duration::from_secs(10);
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Everything that runs. Dropping it ends it, Envoy first.
pub(super) struct Site {
    pub(super) envoy: Envoy,
    pub(super) host: Host,
    pub(super) api: SampleApi,
    pub(super) directory: StateDir,
}

/// How a gateway differs from the plain one.
pub(super) struct Setup<'a> {
    pub(super) catalog: &'a str,
    /// More words to `tollgate envoy-config`.
    pub(super) words: &'a [&'a str],
    /// Another API than the sample one.
    pub(super) upstream: Option<SocketAddr>,
    /// What an operator changes by hand in that configuration. Also told the site's directory.
    pub(super) edit: &'a dyn Fn(String, &Path) -> String,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { catalog: CATALOG, words: &[], upstream: None, edit: &|text, _| text }
    }
}

/// A subscription, as `tollgate subscriptions add` prints it.
pub(super) struct Subscriber {
    pub(super) id: String,
    pub(super) key: String,
}

/// What a subscription used, over all its periods.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Used {
    pub(super) admitted: u64,
    pub(super) billable: u64,
    pub(super) waived: u64,
    pub(super) open: u64,
    pub(super) refused: u64,
}

/// The Envoy to run; which one it is, whoever runs the tests is told once.
pub(super) fn installation() -> &'static Installation {
    static TOLD: Once = Once::new();
    let found = envoy::find().unwrap_or_else(|error| panic!("{error}"));
    // Not `println`, which is shown for failing tests only.
    TOLD.call_once(|| {
        let _ = writeln!(std::io::stderr(), "these tests use {found}");
    });
    found
}

impl Site {
    /// A gateway with a token of its own.
    pub(super) fn start() -> Self {
        Self::start_as(&Setup::default())
    }

    /// The same, with the token that `token` makes of it.
    pub(super) fn start_with(token: impl FnOnce(&GatewayAdded) -> String) -> Self {
        Self::begin(&Setup::default(), token)
    }

    /// The same, set up otherwise.
    pub(super) fn start_as(setup: &Setup<'_>) -> Self {
        Self::begin(setup, |added| added.token.reveal().to_owned())
    }

    fn begin(setup: &Setup<'_>, token: impl FnOnce(&GatewayAdded) -> String) -> Self {
        let directory = StateDir::new("laws").unwrap();
        let catalog = directory.join("catalog.yaml");
        fs::write(&catalog, setup.catalog).unwrap();
        let api = SampleApi::start().unwrap();
        let program = build::host().unwrap_or_else(|error| panic!("{error}"));
        let data = directory.join("data");
        let host = Host::start(program, &catalog, &data, FREE_PORT, directory.path())
            .unwrap_or_else(|error| panic!("{error}"));
        let added: GatewayAdded = host.ask(&["gateways", "add", "edge"]).unwrap();
        let plugin = build::plugin().unwrap_or_else(|error| panic!("{error}"));
        let configuration = host.run(
            &[
                &[
                    "envoy-config",
                    "--plugin",
                    &plugin.to_string_lossy(),
                    "--upstream",
                    &setup.upstream.unwrap_or(api.address()).to_string(),
                    "--host-address",
                    &host.address().to_string(),
                    "--listen",
                    &FREE_PORT.to_string(),
                    "--admin",
                    &FREE_PORT.to_string(),
                ],
                setup.words,
            ]
            .concat(),
        );
        let file = directory.join("envoy.yaml");
        let configuration = (setup.edit)(configuration.unwrap(), directory.path());
        fs::write(&file, configuration).unwrap();
        let envoy = Envoy::start(installation(), &file, &token(&added), directory.path())
            .unwrap_or_else(|error| panic!("{error}"));
        Self { envoy, host, api, directory }
    }

    /// Subscribes somebody to a product.
    pub(super) fn subscribe(&self, product: &str) -> Subscriber {
        let words = ["subscriptions", "add", "--product", product, "--consumer", "acme"];
        let added: SubscriptionAdded = self.host.ask(&words).unwrap();
        Subscriber { id: added.subscription.id.to_string(), key: added.key.reveal().to_owned() }
    }

    /// A call with this key, which the API counts under the subscriber's id.
    pub(super) fn call(&self, of: &Subscriber, path: &str, answer: Answer) -> Call {
        Call {
            url: format!("http://{}{path}", self.envoy.listener()),
            key: of.key.clone(),
            label: of.id.clone(),
            answer,
        }
    }

    /// One call with these headers, and the whole answer.
    pub(super) fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> Response<String> {
        let url = format!("http://{}{path}", self.envoy.listener());
        let mut request = client::agent(SAID_WITHIN).get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, mut body) = request.call().unwrap().into_parts();
        Response::from_parts(parts, body.read_to_string().unwrap())
    }

    /// Calls that reached the API, by a subscriber and status; 0 is a cut connection.
    pub(super) fn reached(&self, of: &Subscriber, statuses: std::ops::Range<u16>) -> u64 {
        let counts = self.api.counts();
        let of_status = counts
            .iter()
            .filter(|((label, status), _)| *label == of.id && statuses.contains(status));
        of_status.map(|(_, calls)| calls).sum()
    }

    /// What the ledger holds once it holds this, or what it holds in the end.
    pub(super) fn used(&mut self, of: &Subscriber, expected: Used) -> Used {
        let host = &self.host;
        let read = || {
            let report: UsageReport = host.ask(&["usage", &of.id]).unwrap();
            sum(&report.periods)
        };
        let process = self.envoy.process();
        let _ = process
            .wait_until("report every call", SAID_WITHIN, || (read() == expected).then_some(()));
        read()
    }
}

/// Sends calls over many connections at once.
pub(super) fn send(calls: &[Call]) -> Vec<Reply> {
    let go_on = |_: &Reply| ControlFlow::Continue(());
    client::send_all(calls, CONNECTIONS, &go_on).unwrap_or_else(|error| panic!("{error}"))
}

fn sum(periods: &[PeriodUsage]) -> Used {
    let mut sum = Used::default();
    for period in periods {
        sum.admitted += period.admitted;
        sum.billable += period.billable;
        sum.waived += period.waived;
        sum.open += period.open;
        sum.refused += period.refused;
    }
    sum
}
