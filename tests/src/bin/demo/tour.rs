//! Lines to try while everything stays up, each with the answer to expect.

use std::time::Duration;

use tollgate_tests::host::OPERATOR_TOKEN_FILE;
use tollgate_tests::paths;
use tollgate_tests::sample_api::ANSWER;
use tollgate_tests::signals;

use crate::failure::Failure;
use crate::stage::{Stage, Subscription};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Prints the tour, and keeps everything running until Ctrl-C.
pub(crate) fn give(stage: &mut Stage) -> Result<(), Failure> {
    // Subscriptions that nobody has used yet.
    let visitor = |product| stage.subscribe(product, "you");
    let (roomy, small, billed) = (visitor("standard")?, visitor("free")?, visitor("minute-unit")?);
    print_setting(stage);
    print_call(stage, &roomy);
    print_quota(stage, &small);
    print_preview(stage, &billed);
    print_outage(stage, &roomy);
    print_revocation(stage, &roomy);
    println!("\nCtrl-C ends everything.");
    loop {
        match signals::pause(LOOK_EVERY) {
            Ok(()) if stage.envoy.process().ended() => {
                return Err(Failure::EnvoyEnded(stage.envoy.process().log_tail()));
            }
            Ok(()) => {}
            // The tour ends by Ctrl-C, and everything with it.
            Err(_) => return Ok(()),
        }
    }
}

fn print_setting(stage: &Stage) {
    let places = &stage.places;
    let programs = places.host.parent().unwrap_or(places.host);
    let token = places.data.join(OPERATOR_TOKEN_FILE);
    println!("\nEverything stays up. In another terminal:\n");
    println!("  cd {}", paths::root().display());
    println!("  export PATH={}:$PATH", programs.display());
    println!("  export TOLLGATE_HOST=http://{}", stage.host.address());
    println!("  export TOLLGATE_OPERATOR_TOKEN=$(cat {})", token.display());
    println!("  tollgate --help");
}

fn print_call(stage: &Stage, roomy: &Subscription) {
    let url = stage.url();
    let key = &roomy.key;
    println!("\nMake a call. 200; without the key, or with an invented one, 401:\n");
    println!("  curl -i -H 'X-Api-Key: {key}' {url}");
    println!("  curl -i {url}");
    println!("\nLet the API fail. 500, and `waived` in the usage: not billed:\n");
    println!("  curl -i -H 'X-Api-Key: {key}' -H '{ANSWER}: 500' {url}");
    println!("  sleep 2; tollgate usage {}", roomy.id);
}

fn print_quota(stage: &Stage, small: &Subscription) {
    println!("\nExhaust a quota: `free` has 100 calls in 30 days. 100 times 200, 5 times 403:\n");
    println!("  {} | sort | uniq -c", repeat(105, &small.key, &stage.url()));
}

fn print_preview(stage: &Stage, billed: &Subscription) {
    println!(
        "\nPreview an invoice: `minute-unit` costs 1.00 USD per 10 calls begun. 25 calls in one \
         minute are\n3.00 USD; when the minute is over, the invoice is in the list:\n"
    );
    let calls = repeat(25, &billed.key, &stage.url());
    println!("  {calls} | sort | uniq -c");
    println!("  sleep 2; tollgate invoice preview {}", billed.id);
    println!("  tollgate invoice list");
}

fn print_outage(stage: &mut Stage, roomy: &Subscription) {
    let host = stage.host.process().id();
    println!("\nStop the host and call again. 200: what a gateway knows goes on without it:\n");
    println!("  kill {host}; sleep 1; curl -i -H 'X-Api-Key: {}' {}", roomy.key, stage.url());
    println!("\nStart it again, and ask for the usage: the call made meanwhile is in it:\n");
    println!(
        "  tollgate serve --catalog {} --data {} --listen {} &",
        stage.places.catalog.display(),
        stage.places.data.display(),
        stage.host.address()
    );
    println!("  sleep 3; tollgate usage {}", roomy.id);
}

fn print_revocation(stage: &Stage, roomy: &Subscription) {
    println!("\nRevoke a key. 401 within two seconds:\n");
    println!(
        "  tollgate keys revoke {}; sleep 2; curl -i -H 'X-Api-Key: {}' {}",
        roomy.key_id,
        roomy.key,
        stage.url()
    );
}

/// So many calls, their statuses one a line.
fn repeat(calls: u32, key: &str, url: &str) -> String {
    format!(
        "for i in $(seq {calls}); do curl -s -o /dev/null -w '%{{http_code}}\\n' \
         -H 'X-Api-Key: {key}' {url}; done"
    )
}
