//! The catalog's page is true: what it shows is accepted, and no field is missing from it.

use super::gate::GATE;
use super::{change, mistakes};

const PAGE: &str = include_str!("../../../../docs/catalog.md");

const CURRENCY: &str = "currency: USD\n";
const APIS: &str = "apis: [{ id: address, operations: [{ id: find, path: '/find/{id}' }] }]\n";
const PRODUCTS: &str = "products:\n  - id: p\n    apis: [address]\n    price: free\n";

/// An example with what it leaves out.
fn whole(example: &str) -> String {
    let has = |field: &str| example.lines().any(|line| line.starts_with(field));
    let part = |field: &str, text: &'static str| if has(field) { "" } else { text };
    let (currency, apis) = (part("currency:", CURRENCY), part("apis:", APIS));
    if has("limits:") {
        let limits = example.replace('\n', "\n    ");
        return format!("{currency}{apis}{PRODUCTS}    {}\n", limits.trim_end());
    }
    format!("{currency}{apis}{}{example}", part("products:", PRODUCTS))
}

#[test]
fn every_example_is_accepted() {
    let examples: Vec<&str> = PAGE
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").map_or(rest, |(example, _)| example))
        .collect();
    assert!(examples.len() >= 9, "{}", examples.len());
    for example in examples {
        let text = whole(example);
        assert_eq!(mistakes(&text), "none", "{text}");
    }
}

/// The reader names all fields of a mapping when it finds an unknown one.
#[test]
fn every_field_is_on_the_page() {
    let places = [
        ("currency: USD\n", "currency: USD\nbogus: 1\n"),
        ("{ header:", "{ bogus: 1, header:"),
        ("{ status: {", "{ bogus: 1, status: {"),
        ("{ quota_exceeded", "{ bogus: 1, quota_exceeded"),
        ("{ id: weather,", "{ bogus: 1, id: weather,"),
        ("{ id: find,", "{ bogus: 1, id: find,"),
        ("price: free\n", "price: free\n    bogus: 1\n"),
        ("price: free\n", "price: { bogus: 1 }\n"),
        ("price: free\n", "price: { tier: { bogus: 1 } }\n"),
        ("price: free\n", "price: { tier_with_overage: { bogus: 1 } }\n"),
        ("deny", "{ bogus: 1 }"),
        ("{ aborted:", "{ bogus: 1, aborted:"),
        ("{ id: fast,", "{ bogus: 1, id: fast,"),
        ("{ calls: 10, period: 1s,", "{ bogus: 1, calls: 10, period: 1s,"),
        ("{ weight: 100,", "{ bogus: 1, weight: 100,"),
    ];
    for (from, to) in places {
        let found = mistakes(&change(GATE, from, to));
        let line = found.lines().find(|line| line.contains("bogus: unknown field")).unwrap();
        let (_, fields) = line.split_once("expected ").unwrap();
        for field in fields.split(", ") {
            let is_there =
                PAGE.contains(&format!("`{field}`")) || PAGE.contains(&format!("{field}:"));
            assert!(is_there, "{field} of {to:?}");
        }
    }
}
