use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{RecordReport, Slot};

use super::*;
use crate::core::spill::Ingested;
use crate::serve::Problem;

/// A spill of so many records, in which it is the `number`th slot.
fn spill(number: u32, records: u64) -> Spill {
    let record = |id| RecordReport {
        subscription: SubscriptionId(id),
        known_until_ms: u64::MAX,
        slots: vec![Slot { number, admitted: u64::MAX, ..Slot::default() }],
        leases: Vec::new(),
    };
    Spill {
        boot: Hex128([1; 16]),
        ledger: None,
        epoch: 1,
        at_ms: 0,
        rows: None,
        records: (1..=records).map(record).collect(),
        last: false,
        seal: Hex128([0; 16]),
    }
}

fn lines(number: u32, records: u64) -> Vec<String> {
    spill(number, records).lines(Hex128([2; 16]), number.into()).unwrap()
}

/// What a host would say that finds one call new in each record.
fn taken(spills: &[Spill]) -> Vec<SpillAnswer> {
    let new = |spill: &Spill| Ingested {
        admitted: u64::try_from(spill.records.len()).unwrap(),
        ..Ingested::default()
    };
    spills.iter().map(|spill| SpillAnswer::Ingested(new(spill))).collect()
}

/// Reads these logs: the report, and how many spills each request had.
fn read(logs: &[&[u8]]) -> (Report, Vec<usize>) {
    let mut sizes = Vec::new();
    let mut ingest = Ingest::new(|spills: Vec<Spill>| {
        let body = serde_json::to_vec(&Spills { gateway: None, spills }).unwrap();
        assert!(body.len() <= MAX_REQUEST_BYTES, "{}", body.len());
        let spills = serde_json::from_slice::<Spills>(&body).unwrap().spills;
        sizes.push(spills.len());
        Ok(taken(&spills))
    });
    for (number, log) in (1..).zip(logs) {
        ingest.read(Path::new(&format!("log-{number}")), *log).unwrap();
    }
    (ingest.end().unwrap(), sizes)
}

#[test]
fn spills_are_found_in_any_log_and_damage_is_told() {
    let (one, many) = (lines(1, 1).remove(0), lines(2, 300));
    assert!(many.len() > 3);
    let (first, rest) = many.split_first().unwrap();
    let mut log = b"\xff\xfe garbage\n[critical] wasm log: ".to_vec();
    log.extend(format!("{one}\r\n{{\"message\":\"{first}\"}}\n{}\n", &one[..60]).as_bytes());
    log.extend(format!("{}\n", one.replace(" 1 1.1", " 9 1.1")).as_bytes());
    let too_long = format!("{}{one}\n", "x".repeat(MAX_LINE_BYTES));
    log.extend(too_long.as_bytes());
    // The rest of it is in another file, and one line twice.
    let rotated = format!("{}\n{}\n{one}", rest.join("\n"), rest[0]);
    let missing = format!("{}\n", lines(3, 300).remove(1));
    let (report, sizes) = read(&[&log, rotated.as_bytes(), missing.as_bytes()]);
    assert_eq!(sizes, [3]);
    assert!(!report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    19 lines read, 3 spills in them.
    New to the ledger: 302 calls admitted, 0 billable, 0 waived; 0 batches of rows.

    3 damaged lines:
      log-1 line 4: expected TOLLGATE-SPILL-1 INCARNATION NUMBER PART.PARTS CHECK BASE64
      log-1 line 5: its checksum does not match: the line was cut or changed
      log-1 line 6: expected at most 65536 bytes, found more

    1 spills of which lines are missing:
      number 3 of 02020202020202020202020202020202
    ");
}

#[test]
fn requests_are_within_what_the_host_reads() {
    let log: String = (1..=1_200).map(|number| lines(number, 1).join("\n") + "\n").collect();
    let (report, sizes) = read(&[log.as_bytes()]);
    assert!(report.is_sound());
    assert_eq!(sizes, [500, 500, 200]);
    let log: String = (1..=40).map(|number| lines(number, 1_000).join("\n") + "\n").collect();
    let (report, sizes) = read(&[log.as_bytes()]);
    assert_eq!((report.spills, report.new.admitted), (40, 40_000));
    assert!(sizes.len() > 1 && sizes.iter().sum::<usize>() == 40, "{sizes:?}");
    // One that no gateway writes.
    let (report, sizes) = read(&[lines(1, 12_000).join("\n").as_bytes()]);
    assert_eq!((report.damaged.count, sizes.len()), (1, 0));
    assert_eq!(read(&[]).1, [0; 0]);
}

#[test]
fn what_the_host_refuses_is_told_once_for_each_reason() {
    let problem = |why: &str| {
        let status = axum::http::StatusCode::CONFLICT;
        SpillAnswer::Refused(Problem::new(status, "foreign_ledger", why))
    };
    let mut ingest = Ingest::new(|spills: Vec<Spill>| {
        let told = |place| problem(if place == 0 { "of a" } else { "of b" });
        Ok((0..spills.len()).map(told).collect())
    });
    let log = [lines(1, 1), lines(2, 1), lines(3, 1)].concat().join("\n");
    ingest.read(Path::new("log"), log.as_bytes()).unwrap();
    let report = ingest.end().unwrap();
    assert!(!report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    3 lines read, 3 spills in them.
    New to the ledger: 0 calls admitted, 0 billable, 0 waived; 0 batches of rows.

    3 spills refused:
      1 because: of a
      2 because: of b
    ");
    let mut report = Report::default();
    report.new.kept_aside = 2;
    assert!(!report.is_sound());
    assert!(text(&report).ends_with("aside: the host's log tells of them.\n"));
}

/// A process's last word accounts for all before it: it is said when that is in the ledger, however
/// the files were sorted, and not if some of it is missing.
#[test]
fn a_last_word_is_the_last_and_only_of_what_is_whole() {
    let end = |boot: u8, at_ms| {
        let end = Spill { boot: Hex128([boot; 16]), at_ms, last: true, ..spill(0, 0) };
        end.lines(Hex128([boot; 16]), at_ms).unwrap().remove(0) + "\n"
    };
    let posted = |logs: &[&str], refuse: bool| {
        let mut posted = Vec::new();
        let mut ingest = Ingest::new(|spills: Vec<Spill>| {
            posted.extend(spills.iter().map(|it| (it.boot.0[0], it.at_ms, it.last)));
            let kept_aside = u64::from(refuse);
            let answer = |_| SpillAnswer::Ingested(Ingested { kept_aside, ..Ingested::default() });
            Ok(spills.iter().map(answer).collect())
        });
        for log in logs {
            ingest.read(Path::new("log"), log.as_bytes()).unwrap();
        }
        let report = ingest.end().unwrap();
        assert_eq!(report.ends_in_doubt > 0, !report.is_sound());
        (posted, report)
    };
    let one = lines(1, 1).remove(0) + "\n";
    let said = (1, 0, false);
    // The newest file first, as a shell sorts `envoy.log envoy.log.1`.
    let (all, report) = posted(&[&end(1, 2), &one], false);
    assert_eq!(all, [said, (1, 2, true)]);
    assert_eq!(report.spills, 2);
    // Of several that of the latest time, in whatever order.
    for log in [end(1, 2) + &end(1, 4) + &end(1, 3), end(1, 3) + &end(1, 2) + &end(1, 4)] {
        let (all, _) = posted(&[&log, &end(2, 1), &one], false);
        assert_eq!(all, [said, (1, 4, true), (2, 1, true)]);
    }
    // Something is missing: a line that was cut, a part, a spill, a slot that contradicts the ledger.
    let (cut, part) = (one[..60].to_owned() + "\n", lines(3, 300).remove(1));
    let third = lines(3, 1).remove(0);
    for (log, refuse) in [(cut, false), (part, false), (third, false), (String::new(), true)] {
        let (all, report) = posted(&[&one, &end(1, 2), &log], refuse);
        assert!(all.iter().all(|(.., last)| !last), "{all:?}");
        assert!(text(&report).contains("\n1 processes wrote that this was all"));
    }
}
