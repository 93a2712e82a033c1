//! No text panics.

use proptest::prelude::*;

use super::GOOD;
use crate::catalog::Catalog;

/// Pieces of catalogs, so that random texts get past the parser's first line.
fn any_text() -> impl Strategy<Value = String> {
    let lines: Vec<_> = GOOD
        .lines()
        .chain(["- &a [*a, {", "? :", "\t- |", "  >+", "%YAML 9", "--- !!x", "'", "\"\\u", "}]"])
        .map(|line| format!("{line}\n"))
        .collect();
    let line = prop_oneof![
        4 => proptest::sample::select(lines),
        1 => "[ -~\u{80}-\u{ffff}]{0,20}\n?",
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any_text(), any in any::<String>()) {
        let _ = Catalog::parse(&text);
        let _ = Catalog::parse(&any);
    }

    #[test]
    fn no_change_of_a_good_catalog_panics(
        at in 0..GOOD.len(),
        length in 0..8_usize,
        put in "[-\\[\\]{}:,'\"&*#|>%@!?\n\t a0~\u{e9}]{0,4}",
    ) {
        let end = (at + length).min(GOOD.len());
        if let Err(mistakes) = Catalog::parse(&format!("{}{put}{}", &GOOD[..at], &GOOD[end..])) {
            prop_assert!(mistakes.iter().all(|mistake| mistake.line > 0 && mistake.column > 0));
        }
    }
}
