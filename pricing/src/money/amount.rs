//! Money as it is billed: whole minor units.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Currency;

/// Whole minor units of a currency; negative in adjustments.
///
/// Serialized as `{"minor": 1495, "currency": "USD", "decimal": "14.95"}`. `decimal` is for
/// readers: it may be left out of what is read, but must not contradict `minor`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    minor: i64,
    currency: Currency,
}

/// What amounts cannot do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MoneyError {
    /// A result outside 64 bits of minor units.
    #[error("the amount is past {}", Amount::new(i64::MAX, *.0))]
    OutOfBounds(Currency),
    /// Adding what does not add up.
    #[error("{0} and {1} do not add up")]
    TwoCurrencies(Currency, Currency),
}

impl Amount {
    /// So many minor units (cents) of `currency`.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_add)
    }

    /// The difference of two amounts of one currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.with(other, i64::checked_sub)
    }

    /// The sum of many amounts of one currency; zero of `currency` for none.
    pub fn sum(
        currency: Currency,
        amounts: impl IntoIterator<Item = Self>,
    ) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }

    fn with(
        self,
        other: Self,
        operation: impl Fn(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::TwoCurrencies(self.currency, other.currency));
        }
        operation(self.minor, other.minor)
            .map(|minor| Self::new(minor, self.currency))
            .ok_or(MoneyError::OutOfBounds(self.currency))
    }

    /// `14.95`: all decimals of the currency, without its code.
    pub fn decimal(self) -> String {
        let sign = if self.minor < 0 { "-" } else { "" };
        let decimals = usize::from(self.currency.exponent());
        let at_least = decimals.saturating_add(1);
        let mut digits = format!("{:0at_least$}", self.minor.unsigned_abs());
        if decimals > 0 {
            digits.insert(digits.len().saturating_sub(decimals), '.');
        }
        format!("{sign}{digits}")
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.decimal(), self.currency))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAmount {
    minor: i64,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decimal: Option<String>,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw =
            RawAmount { minor: self.minor, currency: self.currency, decimal: Some(self.decimal()) };
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawAmount::deserialize(deserializer)?;
        let amount = Self::new(raw.minor, raw.currency);
        match raw.decimal {
            Some(decimal) if decimal != amount.decimal() => {
                Err(serde::de::Error::custom(format_args!(
                    "expected the decimal {} of {} minor units, found {decimal:?}",
                    amount.decimal(),
                    amount.minor
                )))
            }
            _ => Ok(amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i64, code: &str) -> Amount {
        Amount::new(minor, code.parse().unwrap())
    }

    #[test]
    fn amounts_print_every_decimal_of_their_currency() {
        fn check(minor: i64, code: &str, text: &str) {
            let amount = amount(minor, code);
            assert_eq!(amount.to_string(), text);
            let json = serde_json::to_string(&amount).unwrap();
            assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        }
        check(1495, "USD", "14.95 USD");
        check(0, "USD", "0.00 USD");
        check(5, "EUR", "0.05 EUR");
        check(-5, "EUR", "-0.05 EUR");
        check(-1495, "USD", "-14.95 USD");
        check(1495, "JPY", "1495 JPY");
        check(-1, "JPY", "-1 JPY");
        check(0, "JPY", "0 JPY");
        check(1, "KWD", "0.001 KWD");
        check(12_345, "CLF", "1.2345 CLF");
        check(i64::MIN, "USD", "-92233720368547758.08 USD");
        check(i64::MAX, "USD", "92233720368547758.07 USD");
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        fn check(json: &str, found: &str) {
            let result = serde_json::from_str::<Amount>(json);
            let result = result.map_or_else(|error| error.to_string(), |amount| amount.to_string());
            assert!(result.starts_with(found), "{json}: {result}");
        }
        assert_eq!(
            serde_json::to_string(&amount(1495, "USD")).unwrap(),
            r#"{"minor":1495,"currency":"USD","decimal":"14.95"}"#
        );
        check(r#"{"minor": 1495, "currency": "USD"}"#, "14.95 USD");
        check(
            r#"{"minor": 1495, "currency": "USD", "decimal": "1495"}"#,
            "expected the decimal 14.95 of 1495 minor units, found \"1495\"",
        );
        check(r#"{"minor": 1, "currency": "XXX"}"#, "expected a currency with minor units");
        check(r#"{"minor": 1.5, "currency": "USD"}"#, "invalid type");
    }

    #[test]
    fn sums_are_refused_rather_than_wrong() {
        let most = amount(i64::MAX, "USD");
        let cent = amount(1, "USD");
        assert_eq!(cent.checked_sub(cent), Ok(Amount::zero(cent.currency())));
        assert_eq!(Amount::sum(cent.currency(), [cent, cent]), Ok(amount(2, "USD")));
        assert_eq!(
            most.checked_add(cent).unwrap_err().to_string(),
            "the amount is past 92233720368547758.07 USD"
        );
        assert_eq!(
            cent.checked_add(amount(1, "EUR")).unwrap_err().to_string(),
            "USD and EUR do not add up"
        );
    }
}
