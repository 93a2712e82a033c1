//! Whatever a log has become: no line panics, nothing is read as something else, memory is bounded.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::tests::{slots, spill};
use super::*;

/// A line that is well made, and says what it likes.
fn forged(head: &str, body: &[u8]) -> String {
    let body = URL_SAFE_NO_PAD.encode(body);
    format!("{MARK}{VERSION} {head} {} {body}", check(head, &body))
}

#[test]
fn a_checksum_makes_no_sense_of_nonsense() {
    let of = Hex128([2; 16]);
    let check = |head: &str, body: &[u8], found: &str| {
        let read = Reader::default().read(&forged(&format!("{of} {head}"), body));
        let read = read.map_or_else(|bad| format!("{bad:?}"), |_| "good".to_owned());
        assert!(read.starts_with(found), "{head}: {read}");
    };
    check("1 1.2", b"{", "good");
    check("1 1.512", &[0; PART_BYTES], "good");
    for head in ["1 0.1", "1 2.1", "1 1.0", "1 1.513", "1 1", "1 -1.1", "-1 1.1", "1 1.1.1"] {
        check(head, b"{}", "Form");
    }
    check("1 1.99999999999999999999", b"{}", "Form");
    check("1 1.2", &[0; PART_BYTES + 1], "Form");
    check("1 1.1", b"{}", "Content(\"missing field `boot`");
    check("1 1.1", b"\xff", "Content");
    check("1 1.1", &serde_json::to_vec(&spill(3)).unwrap(), "good");
}

#[test]
fn what_is_kept_of_damaged_spills_has_a_bound() {
    let mut reader = Reader::default();
    let part = |number: usize| forged(&format!("{} {number} 1.2", Hex128([2; 16])), b"{");
    for number in 0..MAX_INCOMPLETE {
        assert!(reader.read(&part(number)).unwrap().is_none());
    }
    assert!(reader.read(&part(0)).unwrap().is_none());
    assert_eq!(reader.read(&part(MAX_INCOMPLETE)).unwrap_err(), BadLine::TooMany);
    // One of a single part needs no room.
    let whole = &spill(1).lines(Hex128([2; 16]), 7).unwrap()[0];
    assert!(reader.read(whole).unwrap().is_some());
}

proptest! {
    #[test]
    fn no_line_panics(
        before in ".{0,20}",
        mark in select(vec!["", MARK, "TOLLGATE-SPILL-1 ", "TOLLGATE-SPILL-1"]),
        line in any::<String>(),
        head in "[0-9a-f]{30,33} [-+0-9]{1,21} [0-9]{0,3}[./][0-9]{0,3}",
        body in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut reader = Reader::default();
        let _ = reader.read(&line);
        let _ = reader.read(&format!("{before}{mark}{line}"));
        let _ = reader.read(&format!("{before}{}{line}", forged(&head, &body)));
        prop_assert!(reader.incomplete().count() <= 1);
    }

    /// Wherever a line is cut behind its mark, and whatever one byte of it becomes: it is not
    /// read as something else.
    #[test]
    fn any_cut_and_any_change_is_found(
        slots in 0..60_u32,
        number in any::<u64>(),
        cut in any::<Index>(),
        at in any::<Index>(),
        to in "[ -~]",
    ) {
        let lines = spill(slots).lines(Hex128([2; 16]), number).unwrap();
        let line = &lines[cut.index(lines.len())];
        let left = MARK.len() + cut.index(line.len() - MARK.len());
        prop_assert!(Reader::default().read(&line[..left]).is_err(), "{}", &line[..left]);
        let at = MARK.len() + at.index(line.len() - MARK.len());
        let changed = [&line[..at], &to, &line[at + 1..]].concat();
        if changed != *line {
            prop_assert!(Reader::default().read(&changed).is_err(), "{changed}");
        }
    }

    /// Spills of several VMs in one log, in any order of their lines.
    #[test]
    fn spills_are_read_in_any_order(
        sizes in proptest::collection::vec(0..120_u32, 1..6),
        order in any::<u64>(),
    ) {
        let lines = (0..).zip(&sizes).flat_map(|(number, slots)| {
            spill(*slots).lines(Hex128([2; 16]), number).unwrap()
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort_by_key(|line| blake3::hash(format!("{order} {line}").as_bytes()).to_hex());
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for line in &lines {
            found.extend(reader.read(line).unwrap().map(|spill| slots(&spill)));
        }
        found.sort_unstable();
        let mut expected: Vec<usize> = sizes.iter().map(|size| *size as usize).collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(reader.incomplete().count(), 0);
    }
}
