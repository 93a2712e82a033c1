//! `tollgate drain`: stops an Envoy once everything it counted is delivered.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;
use tollgate_pricing::id::BadId;

use self::admin::Admin;
use self::sequence::{Drain, Outside};
use super::error::Error;
use super::output::Output;
use super::remote::Remote;
use crate::client::{ClientError, HostUrl};
use crate::clock;
use crate::core::gateways::{BootPrefix, Ended};
use crate::serve::body::EndedBoot;

mod admin;
mod sequence;

pub(super) use self::sequence::DrainError;

/// How often the host is asked to hear that the process ended: it wants to have heard nothing of it
/// for three seconds.
const TELL_TRIES: u32 = 10;
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Stop an Envoy once everything it counted is delivered
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks Envoy to drain its listeners, waits until its metric tollgate_undelivered stays 0, stops it,
and tells the host that it ended, so that the units it held go to others at once. If that takes too
long nothing is stopped, and the exit code is 1: the listeners go on draining, try again.

Take the Envoy out of your load balancer first, and start it with --drain-time-s shorter than the
timeout.

Example:
  tollgate drain --admin 127.0.0.1:9901")]
pub(super) struct Args {
    /// Envoy's admin address, like `127.0.0.1:9901`
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: HostUrl,
    /// How long to wait until everything is delivered
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    remote: Remote,
}

/// An Envoy that was stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Stopped {
    /// How its process's id begins.
    boot: String,
    /// Whether everything it counted was delivered, and nobody could call it any more.
    delivered: bool,
    /// Connections that were open when it was stopped; none if Envoy does not tell.
    connections: Option<u64>,
    /// What the host made of it; none if it could not be told, or never heard of this process.
    ended: Option<Ended>,
    /// Why the host could not be told.
    not_told: Option<String>,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let admin = Admin::new(args.admin.clone());
    let outside = Outside { now: &clock::instant, pause: &thread::sleep, say: &say };
    let drained = Drain { admin: &admin, outside: &outside }.run(args.timeout)?;
    let mut stopped = Stopped {
        boot: drained.boot.to_string(),
        delivered: drained.connections == Some(0),
        connections: drained.connections,
        ended: None,
        not_told: None,
    };
    match tell(&args.remote, &drained.boot, stopped.delivered, outside.pause) {
        Ok(ended) => stopped.ended = ended,
        Err(error) => stopped.not_told = Some(error.to_string()),
    }
    let printed = output.print(&stopped, text)?;
    if stopped.not_told.is_none() { Ok(printed) } else { Err(Error::Found(printed)) }
}

/// Tells the host; none if it never heard of this process.
fn tell(
    remote: &Remote,
    boot: &BootPrefix,
    delivered: bool,
    pause: &dyn Fn(Duration),
) -> Result<Option<Ended>, Error> {
    let client = remote.client()?;
    let body = EndedBoot { boot: boot.clone(), delivered };
    let mut tries: u32 = 1;
    loop {
        match client.post("/v1/gateways/ended", &body) {
            Ok(ended) => return Ok(Some(ended)),
            Err(ClientError::Refused(problem)) if problem.reason == "no_boot" => return Ok(None),
            Err(ClientError::Refused(problem))
                if problem.reason == "boot_heard" && tries < TELL_TRIES =>
            {
                pause(TELL_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
        tries = tries.saturating_add(1);
    }
}

fn text(stopped: &Stopped) -> String {
    let Stopped { boot, delivered, connections, ended, not_told } = stopped;
    let mut text = format!("Envoy has stopped (process {boot}). ");
    text.push_str("All it had counted was delivered.\n");
    if !delivered {
        let open = connections.map_or_else(
            || "How many connections were open it does not tell".to_owned(),
            |open| format!("{open} connections were open"),
        );
        let _ = writeln!(
            text,
            "\n{open}: a call may have come at the last moment. Its log tells\nof it in lines with \
             the word TOLLGATE-SPILL-1: `tollgate ingest-spill FILE`."
        );
    }
    match (ended, not_told) {
        (Some(Ended { units, delivered: true, .. }), _) => {
            let _ = writeln!(text, "The host has given its {units} units to others.");
        }
        (Some(Ended { units, .. }), _) => {
            let _ = writeln!(
                text,
                "Until then the host keeps its {units} units, or until `tollgate gateways forget`."
            );
        }
        (None, None) => text.push_str("The host never heard of it.\n"),
        (None, Some(why)) => {
            let flag = if *delivered { " --delivered" } else { "" };
            let _ = writeln!(
                text,
                "\nThe host was not told ({why}).\nTell it later:\n  tollgate gateways ended \
                 {boot}{flag}"
            );
        }
    }
    text
}

/// What is waited for, where those who wait can see it and programs do not read.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// An address of an HTTP service, with or without its scheme.
fn address(text: &str) -> Result<HostUrl, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    url.parse().map_err(|_| "expected HOST:PORT, like 127.0.0.1:9901 or envoy-1:9901".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: Option<SignedDuration> = text.parse().ok();
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| "expected a duration like 60s or 2m".to_owned())
}

/// The process's id as its metric tells it: the first 13 hex digits as a number.
fn boot_of(metric: u64) -> Result<BootPrefix, BadId> {
    format!("{metric:013x}").parse()
}

#[cfg(test)]
mod tests;
