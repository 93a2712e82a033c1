//! The reference vectors, lines as people read them, and the laws of [`quote`].

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::catalog::{BillingPeriod, Catalog};

fn price(text: &str) -> Price {
    Price::parse(text, "USD".parse().unwrap()).unwrap()
}

fn unit(amount: &str, per: u64) -> UnitPrice {
    UnitPrice { amount: price(amount), per: NonZeroU64::new(per).unwrap() }
}

fn product(price: Model) -> Product {
    Product {
        id: "plan".to_owned(),
        name: "Plan".to_owned(),
        description: None,
        apis: vec!["address".to_owned()],
        every: BillingPeriod::Month,
        price,
        limits: Vec::new(),
        on_outage: crate::gate::OnOutage::Deny,
        billable: crate::gate::Billable::default(),
    }
}

fn models() -> [Model; 6] {
    let included = NonZeroU64::new(100).unwrap();
    [
        Model::Free { currency: "USD".parse().unwrap() },
        Model::Freemium { included, overage: unit("0.20", 100) },
        Model::Metered { unit: unit("0.0015", 1) },
        Model::Tier { amount: price("14.95"), included },
        Model::TierWithOverage {
            amount: price("89.95"),
            included: 150,
            overage: unit("0.10", 100),
        },
        Model::Unit { block: unit("749", 1000) },
    ]
}

/// Cents for a month's calls, as the reference system bills them.
#[test]
fn reference_products_cost_what_they_cost_there() {
    let catalog = Catalog::parse(include_str!("../../../catalogs/reference.yaml")).unwrap();
    let check = |product, calls, cents| {
        let product = catalog.product(product).unwrap();
        let lines = quote(product, Usage { calls }).unwrap();
        let total = Amount::sum(catalog.currency, lines.iter().map(|line| line.amount)).unwrap();
        assert_eq!(total, Amount::new(cents, catalog.currency), "{}, {calls} calls", product.id);
    };
    check("free", 0, 0);
    check("free", 100, 0);
    check("payg", 0, 0);
    check("payg", 99, 0);
    check("payg", 100, 15);
    check("payg", 199, 15);
    check("payg", 12_345, 1_845);
    check("developer", 0, 0);
    check("developer", 100, 0);
    check("developer", 199, 0);
    check("developer", 200, 20);
    check("developer", 10_000, 1_980);
    check("basic", 0, 1_495);
    check("basic", 50_000, 1_495);
    check("standard", 0, 8_995);
    check("standard", 100_000, 8_995);
    check("standard", 100_099, 8_995);
    check("standard", 100_100, 9_005);
    check("standard", 250_000, 23_995);
    check("pro", 0, 44_900);
    check("pro", 500_000, 44_900);
    check("pro", 500_100, 44_906);
    check("pro", 1_000_000, 74_900);
    check("enterprise", 0, 74_900);
    check("enterprise", 1_500_000, 74_900);
    check("enterprise", 1_500_001, 149_800);
    check("enterprise", 1_500_100, 149_800);
    check("enterprise", 3_000_000, 149_800);
    check("enterprise", 7_500_000, 374_500);
    check("enterprise", 9_000_000, 449_400);
    check("enterprise", 9_000_100, 524_300);
    check("enterprise", 12_000_000, 599_200);
}

#[test]
fn lines_are_for_people() {
    let mut shown = String::new();
    for calls in [0, 1_249] {
        for model in models() {
            for line in quote(&product(model), Usage { calls }).unwrap() {
                let Line { description, calls, quantity, unit_price, amount } = line;
                writeln!(shown,
                    "{description:<27} | {calls:>4} calls | {quantity:>4} x {unit_price:<25} | {amount}"
                ).unwrap();
            }
        }
    }
    insta::assert_snapshot!(shown, @r"
    Plan                        |    0 calls |    0 x free                      | 0.00 USD
    Plan, 100 calls included    |    0 calls |    0 x free                      | 0.00 USD
    Plan, calls beyond 100      |    0 calls |    0 x 0.20 USD per 100 calls    | 0.00 USD
    Plan, calls                 |    0 calls |    0 x 0.0015 USD per call       | 0.00 USD
    Plan, 100 calls included    |    0 calls |    1 x 14.95 USD per month       | 14.95 USD
    Plan, 150 calls included    |    0 calls |    1 x 89.95 USD per month       | 89.95 USD
    Plan, calls beyond 150      |    0 calls |    0 x 0.10 USD per 100 calls    | 0.00 USD
    Plan, blocks of 1000 calls  |    0 calls |    1 x 749.00 USD per 1000 calls | 749.00 USD
    Plan                        | 1249 calls | 1249 x free                      | 0.00 USD
    Plan, 100 calls included    |  100 calls |  100 x free                      | 0.00 USD
    Plan, calls beyond 100      | 1149 calls |   11 x 0.20 USD per 100 calls    | 2.20 USD
    Plan, calls                 | 1249 calls | 1249 x 0.0015 USD per call       | 1.87 USD
    Plan, 100 calls included    | 1249 calls |    1 x 14.95 USD per month       | 14.95 USD
    Plan, 150 calls included    |  150 calls |    1 x 89.95 USD per month       | 89.95 USD
    Plan, calls beyond 150      | 1099 calls |   10 x 0.10 USD per 100 calls    | 1.00 USD
    Plan, blocks of 1000 calls  | 1249 calls |    2 x 749.00 USD per 1000 calls | 1498.00 USD
    ");
}

#[test]
fn an_amount_past_its_bounds_has_a_name() {
    fn check(price: Model, error: &str) {
        let usage = Usage { calls: u64::MAX };
        assert_eq!(quote(&product(price), usage).unwrap_err().to_string(), error);
    }
    let error = "18446744073709551615 calls of product plan cannot be priced: the amount is past \
                 92233720368547758.07 USD";
    check(Model::Metered { unit: unit("0.01", 1) }, error);
    // Each line fits, and their sum does not.
    check(
        Model::TierWithOverage {
            amount: price("1000000000"),
            included: 0,
            overage: unit("0.005", 1),
        },
        error,
    );
}

fn any_unit() -> impl Strategy<Value = UnitPrice> {
    let amount = "[0-9]{1,9}(\\.[0-9]{1,14})?";
    (amount, 1..=u64::MAX).prop_map(|(amount, per)| unit(&amount, per))
}

fn any_model() -> impl Strategy<Value = Model> {
    (0..6_usize, any_unit(), any_unit(), 1..=u64::MAX).prop_map(|(kind, unit, fixed, calls)| {
        let included = NonZeroU64::new(calls).unwrap();
        let amount = fixed.amount;
        let overage = unit;
        match kind {
            0 => models()[0].clone(),
            1 => Model::Freemium { included, overage },
            2 => Model::Metered { unit },
            3 => Model::Tier { amount, included },
            4 => Model::TierWithOverage { amount, included: calls, overage },
            _ => Model::Unit { block: unit },
        }
    })
}

fn any_calls() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..10_000_u64, Just(u64::MAX)]
}

proptest! {
    #[test]
    fn calls_of_lines_are_the_usage_and_more_usage_never_costs_less(
        model in any_model(),
        one in any_calls(),
        other in any_calls(),
    ) {
        let product = product(model);
        let total = |calls| {
            let lines = quote(&product, Usage { calls }).ok()?;
            assert_eq!(lines.iter().map(|line| line.calls).sum::<u64>(), calls);
            let amounts = lines.iter().map(|line| line.amount);
            Some(Amount::sum(product.price.currency(), amounts).unwrap().minor())
        };
        let (less, more) = (one.min(other), one.max(other));
        match (total(less), total(more)) {
            (Some(less), Some(more)) => prop_assert!(0 <= less && less <= more),
            (None, Some(_)) => prop_assert!(false, "less usage was past the bounds"),
            (_, None) => {}
        }
    }

    #[test]
    fn lines_have_the_same_words_for_any_usage(
        model in any_model(),
        one in any_calls(),
        other in any_calls(),
    ) {
        let product = product(model);
        let words = |calls| {
            let lines = quote(&product, Usage { calls }).ok()?;
            let words = lines.into_iter().map(|line| (line.description, line.unit_price));
            Some(words.collect::<Vec<_>>())
        };
        if let (Some(one), Some(other)) = (words(one), words(other)) {
            prop_assert_eq!(one, other);
        }
    }
}
