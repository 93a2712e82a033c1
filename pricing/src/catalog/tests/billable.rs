//! Which calls are billed: how the rule is read, and what is a mistake in it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::gate::GATE;
use super::{change, mistakes};
use crate::catalog::Catalog;
use crate::gate::{Billable, Ended, Statuses};

/// The catalog with this rule.
fn with(rule: &str) -> String {
    change(GATE, "{ aborted: true }", rule)
}

fn read(rule: &str) -> Billable {
    let catalog = Catalog::parse(&with(rule)).unwrap_or_else(|found| panic!("{rule}: {found}"));
    catalog.products[0].billable.clone()
}

#[test]
fn rules_are_read() {
    let check = |written: &str, statuses: &[(u16, u16)], unforwarded: bool, aborted: bool| {
        let statuses = statuses.iter().map(|(first, last)| Statuses { first: *first, last: *last });
        let meant = Billable { statuses: statuses.collect(), unforwarded, aborted };
        assert_eq!(read(written), meant, "{written}");
    };
    let all = [(100, 499)];
    check("{ aborted: true }", &all, false, true);
    check("{ aborted: false }", &all, false, false);
    check("{ unforwarded: true }", &all, true, true);
    check("{ statuses: [2xx] }", &[(200, 299)], false, true);
    check("{ statuses: [404] }", &[(404, 404)], false, true);
    check("{ statuses: ['404', \"5xx\"] }", &[(404, 404), (500, 599)], false, true);
    check("{ statuses: [410-410] }", &[(410, 410)], false, true);
    // In any order; what touches is one range.
    check(
        "{ statuses: [5xx, 100-200, 201, 300-399] }",
        &[(100, 201), (300, 399), (500, 599)],
        false,
        true,
    );
    check("{ statuses: [4xx, 2xx, 3xx, 1xx, 5xx] }", &[(100, 599)], false, true);
    check(
        "{ statuses: [2xx, 3xx, 404, 410-418], unforwarded: true, aborted: false }",
        &[(200, 399), (404, 404), (410, 418)],
        true,
        false,
    );
    let without = Catalog::parse(&change(GATE, "    billable: { aborted: true }\n", ""));
    assert_eq!(without.unwrap().products[0].billable, Billable::default());
}

#[test]
fn mistakes_in_rules() {
    let check =
        |rule: &str| format!("{rule}\n    {}\n", mistakes(&with(rule)).replace('\n', "\n    "));
    let many = format!("{{ statuses: [{}] }}", vec!["200"; 51].join(", "));
    let shown = [
        check("success"),
        check("[2xx]"),
        check("{}"),
        check("{ status: [2xx] }"),
        check("{ statuses: [2xx], abborted: false }"),
        check("{ unforwarded: yes, aborted: 0 }"),
        check("{ statuses: 2xx }"),
        check("{ statuses: [] }"),
        check("{ statuses: [2XX, 2x, 6xx, xx] }"),
        check("{ statuses: [99, 600, 0200, 2e2, 404.0, -404, '4 04'] }"),
        check("{ statuses: [499-400, 200-, -299, 200-600, 2xx-3xx, 200-250-299, 200 - 299] }"),
        check("{ statuses: [2xx, 204, 404, 400-499, 404] }"),
        check("{ statuses: [[2xx], { from: 200 }, ~] }"),
        mistakes(&with(&many)).lines().next().unwrap().to_owned(),
    ]
    .concat();
    insta::assert_snapshot!(shown, @r#"
    success
        23:15 products[0].billable: expected a mapping such as `{ statuses: [2xx, 404], aborted: false }`, found "success"
    [2xx]
        23:15 products[0].billable: expected a mapping such as `{ statuses: [2xx, 404], aborted: false }`, found a list
    {}
        23:15 products[0].billable: expected one of the fields statuses, unforwarded, aborted, found none
    { status: [2xx] }
        23:17 products[0].billable.status: unknown field (did you mean `statuses`?): expected statuses, unforwarded, aborted
    { statuses: [2xx], abborted: false }
        23:34 products[0].billable.abborted: unknown field (did you mean `aborted`?): expected statuses, unforwarded, aborted
    { unforwarded: yes, aborted: 0 }
        23:30 products[0].billable.unforwarded: expected true or false, found "yes"
        23:44 products[0].billable.aborted: expected true or false, found 0
    { statuses: 2xx }
        23:27 products[0].billable.statuses: expected a list of statuses such as `2xx`, `404` or `410-418`, found "2xx"
    { statuses: [] }
        23:27 products[0].billable.statuses: expected statuses, found an empty list, which would bill only calls that have none: leave it out, or write `price: free` if nothing is to be billed
    { statuses: [2XX, 2x, 6xx, xx] }
        23:28 products[0].billable.statuses[0]: expected a status from 100 to 599, `2xx`, or a range such as `410-418` (did you mean `2xx`?), found "2XX"
        23:33 products[0].billable.statuses[1]: expected a status from 100 to 599, `2xx`, or a range such as `410-418` (did you mean `2xx`?), found "2x"
        23:37 products[0].billable.statuses[2]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "6xx"
        23:42 products[0].billable.statuses[3]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "xx"
    { statuses: [99, 600, 0200, 2e2, 404.0, -404, '4 04'] }
        23:28 products[0].billable.statuses[0]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 99
        23:32 products[0].billable.statuses[1]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 600
        23:37 products[0].billable.statuses[2]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 0200
        23:43 products[0].billable.statuses[3]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "2e2"
        23:48 products[0].billable.statuses[4]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 404.0
        23:55 products[0].billable.statuses[5]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found -404
        23:61 products[0].billable.statuses[6]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "4 04"
    { statuses: [499-400, 200-, -299, 200-600, 2xx-3xx, 200-250-299, 200 - 299] }
        23:28 products[0].billable.statuses[0]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 499-400
        23:37 products[0].billable.statuses[1]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 200-
        23:43 products[0].billable.statuses[2]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found -299
        23:49 products[0].billable.statuses[3]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 200-600
        23:58 products[0].billable.statuses[4]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "2xx-3xx"
        23:67 products[0].billable.statuses[5]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found 200-250-299
        23:80 products[0].billable.statuses[6]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found "200 - 299"
    { statuses: [2xx, 204, 404, 400-499, 404] }
        23:33 products[0].billable.statuses[1]: expected each status once, found `204` beside `2xx`
        23:43 products[0].billable.statuses[3]: expected each status once, found `400-499` beside `404`
        23:52 products[0].billable.statuses[4]: expected each status once, found `404` beside `404`
    { statuses: [[2xx], { from: 200 }, ~] }
        23:28 products[0].billable.statuses[0]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found a list
        23:35 products[0].billable.statuses[1]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found a mapping
        23:50 products[0].billable.statuses[2]: expected a status from 100 to 599, `2xx`, or a range such as `410-418`, found nothing
    23:27 products[0].billable.statuses: expected at most 50 statuses such as `2xx`, `404` or `410-418`, found 51
    "#);
}

/// Nine meters: one for each of these headers, and bytes.
fn limits(headers: usize, more: &str) -> String {
    let limit =
        |n| format!("      - {{ id: h{n}, quota: {{ units: 1, header: x-{n}, period: day }} }}\n");
    let limits: String = (0..headers).map(limit).collect();
    let last = "      - { id: load,";
    change(GATE, last, &format!("{limits}{more}{last}"))
}

#[test]
fn a_product_has_so_many_meters_and_no_more() {
    let bytes = "      - { id: bytes, quota: { bytes: 1, period: day } }\n";
    let again = "      - { id: again, quota: { units: 1, header: X-0, period: week } }\n";
    let calls = "      - { id: calls, quota: { calls: 1, period: week } }\n";
    let meters = |text: &str| Catalog::parse(text).map(|it| it.products[0].meters().len());
    // `load` counts weight.
    assert_eq!(meters(&limits(7, "")), Ok(8));
    assert_eq!(meters(&limits(7, &[again, calls].concat())), Ok(8));
    let same = "      - { id: one, quota: { units: 1, header: x-units-56846, period: day } }
      - { id: other, quota: { units: 1, header: x-units-86976, period: day } }\n";
    let shown =
        [mistakes(&limits(7, bytes)), mistakes(&limits(9, bytes)), mistakes(&limits(0, same))]
            .join("\n");
    insta::assert_snapshot!(shown, @r#"
    30:9 products[0].limits[10]: expected at most 8 meters in a product besides its calls, found 9: weight is one too many
    30:9 products[0].limits[10]: expected at most 8 meters in a product besides its calls, found 11: units of `x-8` is one too many
    23:9 products[0].limits[3]: units of `x-units-86976` and units of `x-units-56846` have the same 32-bit tag, by which gateways know them: rename one
    "#);
}

/// One entry of a list, and the statuses it means.
fn any_entry() -> impl Strategy<Value = (String, BTreeSet<u16>)> {
    let kind = (1..6_u16).prop_map(|kind| (format!("{kind}xx"), kind * 100, kind * 100 + 99));
    let one = (100..600_u16).prop_map(|status| (status.to_string(), status, status));
    let range = (100..600_u16, 0..30_u16).prop_map(|(first, more)| {
        let last = (first + more).min(599);
        (format!("{first}-{last}"), first, last)
    });
    prop_oneof![kind, one, range].prop_map(|(text, first, last)| (text, (first..=last).collect()))
}

proptest! {
    /// What is written is what is billed, in the one form gateways get; unless a status is there
    /// twice, which is a mistake.
    #[test]
    fn the_statuses_written_are_those_billed(
        entries in proptest::collection::vec(any_entry(), 1..8),
    ) {
        let texts: Vec<&str> = entries.iter().map(|(text, _)| text.as_str()).collect();
        let text = with(&format!("{{ statuses: [{}] }}", texts.join(", ")));
        let written = entries.iter().map(|(_, statuses)| statuses.len()).sum::<usize>();
        let meant: BTreeSet<u16> = entries.iter().flat_map(|(_, statuses)| statuses.clone()).collect();
        let catalog = Catalog::parse(&text);
        prop_assert_eq!(catalog.is_ok(), meant.len() == written);
        if let Ok(catalog) = catalog {
            let rule = &catalog.products[0].billable;
            let bills = |status| rule.bills(Ended { forwarded: true, status, aborted: false });
            prop_assert_eq!((1..1000).filter(|status| bills(*status)).collect::<BTreeSet<u16>>(), meant);
            prop_assert!(rule.statuses.is_sorted_by(|range, next| range.last + 1 < next.first));
        }
    }
}
