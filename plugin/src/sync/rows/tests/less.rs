//! What becomes of a table that is full, step by step.

use super::*;

/// 18:00 of a day.
const EVENING: u32 = 20_000 * 24 * 60 + 18 * 60;

/// Rows as `day hour:minute subscription operation status outcome calls`.
fn told(rows: &mut Rows) -> String {
    let batches = rows.seal_all(VM);
    let mut lines: Vec<String> = batches
        .iter()
        .flat_map(|batch| read(batch).calls)
        .map(|row| {
            let passed = row.minute - 20_000 * 24 * 60;
            let (day, hour, minute) = (passed / 1_440, passed / 60 % 24, passed % 60);
            let whose = row.subscription.map_or("-".to_owned(), |id| id.to_string());
            let (operation, status) = (row.operation.unwrap_or("-".to_owned()), row.status);
            let (outcome, calls) = (row.outcome, row.calls);
            format!("{day} {hour:02}:{minute:02} {whose} {operation} {status} {outcome:?} {calls}")
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// One row for each minute, or for each subscription and operation, in a table for four.
fn filled(calls: impl Iterator<Item = Described>) -> String {
    let mut rows = Rows::default();
    rows.calls.most = [4, 6, 7];
    for call in calls {
        rows.add(call);
    }
    told(&mut rows)
}

#[test]
fn hours_that_are_over_go_first() {
    let minutes = [0, 1, 2, 61, 62];
    let calls = minutes.into_iter().map(|minute| call(1, EVENING + minute));
    insta::assert_snapshot!(filled(calls), @r"
    0 18:00 sub_1 o 200 Billable 3
    0 19:01 sub_1 o 200 Billable 1
    0 19:02 sub_1 o 200 Billable 1
    ");
}

#[test]
fn then_the_current_one() {
    let calls = (0..9).map(|minute| call(1, EVENING + minute));
    insta::assert_snapshot!(filled(calls), @"0 18:00 sub_1 o 200 Billable 9");
}

#[test]
fn then_days() {
    let hours = [0, 1, 2, 3, 4, 5, 6, 7];
    let calls = hours.into_iter().map(|hour| call(1, EVENING + 60 * hour));
    insta::assert_snapshot!(filled(calls), @r"
    0 00:00 sub_1 o 200 Billable 6
    1 00:00 sub_1 o 200 Billable 1
    1 01:00 sub_1 o 200 Billable 1
    ");
}

#[test]
fn then_operations_of_what_is_new() {
    let operations = ["a", "b", "c", "d", "e", "f", "g"];
    let calls = operations
        .into_iter()
        .map(|operation| Described { route: Some(route(operation)), ..call(1, EVENING) });
    insta::assert_snapshot!(filled(calls), @r"
    0 00:00 sub_1 - 200 Billable 3
    0 00:00 sub_1 a 200 Billable 1
    0 00:00 sub_1 b 200 Billable 1
    0 00:00 sub_1 c 200 Billable 1
    0 00:00 sub_1 d 200 Billable 1
    ");
}

#[test]
fn then_all_operations_before_any_subscription() {
    let calls = (0..6).flat_map(|subscription| {
        ["a", "b"].into_iter().map(move |operation| Described {
            route: Some(route(operation)),
            ..call(subscription, EVENING)
        })
    });
    insta::assert_snapshot!(filled(calls), @r"
    0 00:00 sub_0 - 200 Billable 2
    0 00:00 sub_1 - 200 Billable 2
    0 00:00 sub_2 - 200 Billable 2
    0 00:00 sub_3 - 200 Billable 2
    0 00:00 sub_4 - 200 Billable 2
    0 00:00 sub_5 - 200 Billable 2
    ");
}

#[test]
fn then_subscriptions_then_all_but_the_outcome() {
    let calls = (0..10).map(|subscription| Described {
        status: 200 + (subscription % 3) as u16,
        ..call(subscription, EVENING)
    });
    insta::assert_snapshot!(filled(calls), @r"
    0 00:00 - - 200 Billable 2
    0 00:00 sub_0 - 200 Billable 1
    0 00:00 sub_1 - 201 Billable 1
    0 00:00 sub_2 - 202 Billable 1
    0 00:00 sub_3 - 200 Billable 1
    0 00:00 sub_4 - 201 Billable 1
    0 00:00 sub_5 - 202 Billable 1
    0 18:00 - - 0 Billable 2
    ");
}
