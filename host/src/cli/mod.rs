//! The command line: one file a command. Commands translate and print; they do not decide.
//!
//! `serve`, `check`, `quote`, `envoy-config` and `restore` work on their own; the others ask a running
//! `tollgate serve`.

mod backup;
mod charges;
mod check;
mod close;
mod drain;
mod envoy_config;
mod error;
mod gateways;
mod ingest_spill;
mod invoice;
mod keys;
mod output;
mod quote;
mod remote;
mod restore;
mod serve;
mod subscriptions;
mod unaccounted;
mod usage;

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;
use output::Output;

const FIRST_STEPS: &str = "\
First steps:
  tollgate check catalog.yaml                  every mistake in a catalog, at once
  tollgate serve --catalog catalog.yaml        the host; leave it running
  tollgate gateways add edge                   a token for an Envoy, shown once
  tollgate envoy-config --upstream localhost:3000 --plugin plugin.wasm > envoy.yaml
  TOLLGATE_GATEWAY_TOKEN=... envoy -c envoy.yaml
  tollgate subscriptions add --product basic --consumer acme     a key, shown once
  curl -H 'X-Api-Key: ...' http://127.0.0.1:8080/address/
  tollgate usage                               what was called, and what of it is billed
  tollgate invoice preview sub_1               what it costs so far

Exit codes:
  0  done
  1  refused or failed; one sentence on stderr says what to do
  2  a mistake in the command line";

/// Sells HTTP APIs behind Envoy: keys, limits, usage, prices, invoices.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    after_help = FIRST_STEPS,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    /// Tables for people; for programs JSON, and CSV of lists, with stable names
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Output::Table,
        value_name = "FORMAT",
        display_order = 100
    )]
    output: Output,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Quote(quote::Args),
    Serve(serve::Args),
    Gateways(gateways::Args),
    EnvoyConfig(envoy_config::Args),
    Drain(drain::Args),
    Subscriptions(subscriptions::Args),
    Keys(keys::Args),
    Usage(usage::Args),
    IngestSpill(ingest_spill::Args),
    Close(close::Args),
    #[command(alias = "invoices")]
    Invoice(invoice::Args),
    Charges(charges::Args),
    Backup(backup::Args),
    Restore(restore::Args),
}

impl Command {
    /// Whether its answer is a list. What has done something must not fail for want of one: a token
    /// is told once, an Envoy ends once.
    fn tells_a_list(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Subscriptions(args) => args.tells_a_list(),
            Self::Keys(args) => args.tells_a_list(),
            _ => false,
        }
    }
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    // Prints usage errors and exits with 2 by itself.
    match run(Cli::parse()) {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(Error::Found(report)) => print(&report, ExitCode::FAILURE),
        Err(error) => fail(&error),
    }
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `tollgate usage | head`: the reader has what it wanted.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(&error),
        _ => code,
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // Where stderr is gone as well, the exit code says it.
    let _ = writeln!(io::stderr().lock(), "tollgate: {error}");
    ExitCode::FAILURE
}

/// What to print.
fn run(cli: Cli) -> Result<String, Error> {
    let output = cli.output;
    if matches!(output, Output::Csv) && !cli.command.tells_a_list() {
        return Err(Error::NotCsv);
    }
    match cli.command {
        Command::Check(args) => check::run(&args, output),
        Command::Quote(args) => quote::run(&args, output),
        Command::Serve(args) => serve::run(args),
        Command::Gateways(args) => gateways::run(&args, output),
        Command::EnvoyConfig(args) => envoy_config::run(&args, output),
        Command::Drain(args) => drain::run(&args, output),
        Command::Subscriptions(args) => subscriptions::run(&args, output),
        Command::Keys(args) => keys::run(&args, output),
        Command::Usage(args) => usage::run(&args, output),
        Command::IngestSpill(args) => ingest_spill::run(&args, output),
        Command::Close(args) => close::run(&args, output),
        Command::Invoice(args) => invoice::run(&args, output),
        Command::Charges(args) => charges::run(&args, output),
        Command::Backup(args) => backup::run(&args, output),
        Command::Restore(args) => restore::run(&args, output),
    }
}

/// An address to listen on; a name would not say on which of its addresses.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, like 127.0.0.1:8080 or [::1]:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The help page of a command, as it is printed into 100 columns.
    fn help(path: &[&str]) -> String {
        let mut command = Cli::command().term_width(100);
        command.build();
        let mut command = &mut command;
        for name in path {
            command = command.find_subcommand_mut(name).unwrap();
        }
        command.render_help().to_string()
    }

    /// Before it is done: the only sight of a token is its answer.
    #[test]
    fn what_is_no_list_is_not_done_as_one() {
        let refused = |command: &[&str]| {
            let words = ["tollgate"].iter().chain(command).chain(&["--output", "csv"]);
            let cli = Cli::try_parse_from(words).unwrap();
            !cli.command.tells_a_list() && matches!(run(cli), Err(Error::NotCsv))
        };
        let nobody = ["--host", "http://127.0.0.1:1"];
        for command in [
            &["gateways", "add", "edge"][..],
            &["drain", "--admin", "127.0.0.1:1"],
            &["ingest-spill", "log"],
            &["keys", "add", "sub_1"],
            &["subscriptions", "cancel", "sub_1"],
        ] {
            assert!(refused(&[command, &nobody].concat()), "{command:?}");
        }
        for command in [&["usage"][..], &["keys", "list", "sub_1"], &["subscriptions", "list"]] {
            let words = [&["tollgate"], command, &["--output", "csv"]].concat();
            assert!(Cli::try_parse_from(words).unwrap().command.tells_a_list(), "{command:?}");
        }
    }

    #[test]
    fn a_newcomer_sees_where_to_start() {
        insta::assert_snapshot!(help(&[]), @r"
        Sells HTTP APIs behind Envoy: keys, limits, usage, prices, invoices

        Usage: tollgate [OPTIONS] <COMMAND>

        Commands:
          check          List all mistakes in a catalog, each with its place
          quote          Price a number of calls in one billing period of a product
          serve          Run the host: ledger, leases, periods, invoices, charges
          gateways       Make tokens for Envoys, and see which report
          envoy-config   Print a configuration for Envoy, whole or the parts for one you have
          drain          Stop an Envoy once everything it counted is delivered
          subscriptions  Subscribe consumers to products; suspend, resume, cancel
          keys           Add, list and revoke API keys
          usage          Show calls by subscription and billing period
          ingest-spill   Report usage that gateways wrote into their proxies' logs
          close          Close billing periods that are over, and see what waits and why
          invoice        Show invoices, and preview the one of an open period
          charges        List what the sandbox, the built-in payment provider, received
          backup         Copy the ledger into a new file, while it is served or not
          restore        Put a copy of the ledger in its place

        Options:
              --output <FORMAT>  Tables for people; for programs JSON, and CSV of lists, with stable names
                                 [default: table] [possible values: table, json, csv]
          -h, --help             Print help
          -V, --version          Print version

        First steps:
          tollgate check catalog.yaml                  every mistake in a catalog, at once
          tollgate serve --catalog catalog.yaml        the host; leave it running
          tollgate gateways add edge                   a token for an Envoy, shown once
          tollgate envoy-config --upstream localhost:3000 --plugin plugin.wasm > envoy.yaml
          TOLLGATE_GATEWAY_TOKEN=... envoy -c envoy.yaml
          tollgate subscriptions add --product basic --consumer acme     a key, shown once
          curl -H 'X-Api-Key: ...' http://127.0.0.1:8080/address/
          tollgate usage                               what was called, and what of it is billed
          tollgate invoice preview sub_1               what it costs so far

        Exit codes:
          0  done
          1  refused or failed; one sentence on stderr says what to do
          2  a mistake in the command line
        ");
    }

    #[test]
    fn a_command_says_what_it_needs() {
        insta::assert_snapshot!(help(&["subscriptions", "add"]), @r"
        Subscribe a consumer to a product and print its first key, once

        Usage: tollgate subscriptions add [OPTIONS] --product <ID> --consumer <CONSUMER>

        Options:
              --product <ID>         The product's id in the catalog
              --consumer <CONSUMER>  Who pays
              --name <NAME>          What to call this subscription, for people
              --submitted            Let no calls through until it is approved; its first billing period
                                     begins then
              --expires <TIME>       When it ends by itself, like 2027-01-01T00:00:00Z
              --output <FORMAT>      Tables for people; for programs JSON, and CSV of lists, with stable
                                     names [default: table] [possible values: table, json, csv]
          -h, --help                 Print help

        Which host:
              --host <URL>  Where `tollgate serve` answers [env: TOLLGATE_HOST] [default:
                            http://127.0.0.1:8430]
              --data <DIR>  Its data directory with the operator's token; `TOLLGATE_OPERATOR_TOKEN` goes
                            first [default: tollgate-data]

        Example:
          tollgate subscriptions add --product basic --consumer acme
          curl -H 'X-Api-Key: ...' http://127.0.0.1:8080/address/
        ");
    }

    #[test]
    fn all_help_fits_100_columns_and_every_argument_is_explained() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
            let help = command.clone().term_width(100).render_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{path}: {line}");
            }
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command, "tollgate");
    }

    #[test]
    fn a_number_of_calls_is_whole() {
        let quote = |calls| Cli::try_parse_from(["tollgate", "quote", "c.yaml", "basic", calls]);
        assert!(quote("1000").is_ok());
        insta::assert_snapshot!(quote("1e3").unwrap_err().to_string(), @r"
        error: invalid value '1e3' for '<CALLS>': expected a whole number of calls

        For more information, try '--help'.
        ");
    }

    #[test]
    fn clap_finds_nothing_wrong() {
        Cli::command().debug_assert();
    }
}
