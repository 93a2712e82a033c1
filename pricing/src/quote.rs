//! Usage of a period in, invoice lines out.
//!
//! A product gives the same lines in the same order for any usage, and the calls of its lines add
//! up to the usage. So two quotes can be compared line by line, and an invoice accounts for every
//! billable call, free ones too.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::catalog::Product;
use crate::money::{Amount, Currency, MoneyError, Price};

/// How a product is priced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Model {
    /// Costs nothing.
    Free {
        /// What its zero is written in.
        currency: Currency,
    },
    /// Calls past a free allowance cost by the full unit.
    Freemium {
        /// Calls that cost nothing.
        included: NonZeroU64,
        /// What those past it cost.
        overage: UnitPrice,
    },
    /// Calls cost by the full unit.
    Metered {
        /// What they cost.
        unit: UnitPrice,
    },
    /// A fixed price for an allowance that a quota of the product enforces.
    Tier {
        /// The price of a period.
        amount: Price,
        /// The allowance, for the invoice's reader.
        included: NonZeroU64,
    },
    /// A fixed price for an allowance; calls past it cost by the full unit.
    TierWithOverage {
        /// The price of a period.
        amount: Price,
        /// Calls it pays for.
        included: u64,
        /// What those past it cost.
        overage: UnitPrice,
    },
    /// Whole blocks of calls: at least one, and a block begun is paid.
    Unit {
        /// The block.
        block: UnitPrice,
    },
}

impl Model {
    /// The currency it bills in.
    pub fn currency(&self) -> Currency {
        match self {
            Self::Free { currency } => *currency,
            Self::Tier { amount, .. } | Self::TierWithOverage { amount, .. } => amount.currency(),
            Self::Freemium { overage: price, .. }
            | Self::Metered { unit: price }
            | Self::Unit { block: price } => price.amount.currency(),
        }
    }
}

/// A price for so many calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitPrice {
    /// The price of one unit.
    pub amount: Price,
    /// Calls in a unit.
    pub per: NonZeroU64,
}

impl UnitPrice {
    /// Units that `calls` fill.
    fn full(self, calls: u64) -> u64 {
        // A division by what is not zero cannot fail.
        calls.checked_div(self.per.get()).unwrap_or_default()
    }

    /// Units that `calls` fill or begin, at least one.
    fn begun(self, calls: u64) -> u64 {
        calls.div_ceil(self.per.get()).max(1)
    }
}

/// `0.15 USD per 100 calls`.
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per {
            NonZeroU64::MIN => write!(f, "{} per call", self.amount),
            per => write!(f, "{} per {per} calls", self.amount),
        }
    }
}

/// What was used in one billing period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Billable calls.
    pub calls: u64,
}

/// One line of an invoice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What it is for, for people.
    pub description: String,
    /// The calls it answers for; over the lines of a quote they add up to the usage.
    pub calls: u64,
    /// How many units are billed.
    pub quantity: u64,
    /// What a unit costs, for people: `0.15 USD per 100 calls`, `14.95 USD per month`.
    pub unit_price: String,
    /// `quantity` times the unit's price, rounded once.
    pub amount: Amount,
}

/// Why a period cannot be priced: an amount past its bounds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{calls} calls of product {product} cannot be priced: {reason}")]
pub struct QuoteError {
    product: String,
    calls: u64,
    reason: MoneyError,
}

/// Prices one period. The sum of the lines' amounts is within bounds too.
pub fn quote(product: &Product, usage: Usage) -> Result<Vec<Line>, QuoteError> {
    let error = |reason| QuoteError { product: product.id.clone(), calls: usage.calls, reason };
    let lines = lines(product, usage.calls).map_err(error)?;
    Amount::sum(product.price.currency(), lines.iter().map(|line| line.amount)).map_err(error)?;
    Ok(lines)
}

fn lines(product: &Product, calls: u64) -> Result<Vec<Line>, MoneyError> {
    match &product.price {
        Model::Free { currency } => Ok(vec![free(product.name.clone(), calls, *currency)]),
        Model::Freemium { included, overage } => {
            let included = included.get();
            let allowance = calls.min(included);
            let currency = overage.amount.currency();
            Ok(vec![
                free(with_included(product, included), allowance, currency),
                beyond(product, included, overage, calls)?,
            ])
        }
        Model::Metered { unit } => {
            let description = format!("{}, calls", product.name);
            Ok(vec![units(description, calls, unit.full(calls), unit)?])
        }
        // Its quota ends an allowance, not its price: all calls there are belong to the one line.
        Model::Tier { amount, included } => {
            Ok(vec![fixed(product, *amount, included.get(), calls)?])
        }
        Model::TierWithOverage { amount, included, overage } => Ok(vec![
            fixed(product, *amount, *included, calls.min(*included))?,
            beyond(product, *included, overage, calls)?,
        ]),
        Model::Unit { block } => {
            let description = format!("{}, blocks of {} calls", product.name, block.per);
            Ok(vec![units(description, calls, block.begun(calls), block)?])
        }
    }
}

fn with_included(product: &Product, included: u64) -> String {
    format!("{}, {included} calls included", product.name)
}

fn free(description: String, calls: u64, currency: Currency) -> Line {
    Line {
        description,
        calls,
        quantity: calls,
        unit_price: "free".to_owned(),
        amount: Amount::zero(currency),
    }
}

fn fixed(product: &Product, amount: Price, included: u64, calls: u64) -> Result<Line, MoneyError> {
    Ok(Line {
        description: with_included(product, included),
        calls,
        quantity: 1,
        unit_price: format!("{amount} per {}", product.every),
        amount: amount.times(1)?,
    })
}

/// Of all `calls`, those past what is included.
fn beyond(
    product: &Product,
    included: u64,
    overage: &UnitPrice,
    calls: u64,
) -> Result<Line, MoneyError> {
    let description = format!("{}, calls beyond {included}", product.name);
    let calls = calls.saturating_sub(included);
    units(description, calls, overage.full(calls), overage)
}

fn units(
    description: String,
    calls: u64,
    quantity: u64,
    unit: &UnitPrice,
) -> Result<Line, MoneyError> {
    Ok(Line {
        description,
        calls,
        quantity,
        unit_price: unit.to_string(),
        amount: unit.amount.times(quantity)?,
    })
}

#[cfg(test)]
mod tests;
