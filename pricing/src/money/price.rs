//! Exact prices, and the one door where one becomes an amount.

use std::fmt;

use super::{Amount, Currency, MoneyError};

/// Decimals of a price beyond those of its currency.
const FINER_DECIMALS: u8 = 12;
/// `10^FINER_DECIMALS`.
const PICOS_PER_MINOR: i128 = 1_000_000_000_000;
const _: () = assert!(10_i128.pow(12) == PICOS_PER_MINOR && FINER_DECIMALS == 12);

/// The highest price, in major units (dollars): far above any, and far below what overflows.
pub const MAX_PRICE_MAJOR: u32 = 1_000_000_000;

/// What one unit costs: a whole number of 10^-12 minor units, from zero to [`MAX_PRICE_MAJOR`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Price {
    picos: i128,
    currency: Currency,
}

/// Text that is no price.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPrice {
    /// Something else than digits with at most one point.
    #[error("expected a decimal number such as 14.95, found {0:?}")]
    NotDecimal(String),
    /// Less than nothing.
    #[error("expected a price of zero or more, found {0}")]
    Negative(String),
    /// Finer than prices are.
    #[error("expected at most {most} decimals for {currency}, found {found}")]
    TooFine {
        /// Whose.
        currency: Currency,
        /// How many decimals a price in it may have.
        most: u8,
        /// How many were written, zeros at the end not counted.
        found: usize,
    },
    /// Higher than prices are.
    #[error("expected a price of at most {MAX_PRICE_MAJOR} {0}, found more")]
    TooHigh(Currency),
}

impl Price {
    /// Reads decimal text such as `14.95`, `20` or `0.0005` exactly. No sign, no exponent, no
    /// digit grouping.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, BadPrice> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(BadPrice::NotDecimal(text.to_owned()));
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if digits != text && !(whole.is_empty() && fraction.is_empty()) {
            return Err(BadPrice::Negative(text.to_owned()));
        }
        let decimals = currency.exponent().saturating_add(FINER_DECIMALS);
        if fraction.len() > usize::from(decimals) {
            return Err(BadPrice::TooFine { currency, most: decimals, found: fraction.len() });
        }
        let picos = picos_of(whole, fraction, decimals).ok_or(BadPrice::TooHigh(currency))?;
        Ok(Self { picos, currency })
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// `quantity` units at this price. This is where amounts are rounded, to the nearest minor
    /// unit with halves away from zero, and it is done once per invoice line.
    pub fn times(self, quantity: u64) -> Result<Amount, MoneyError> {
        i128::from(quantity)
            .checked_mul(self.picos)
            .and_then(round_half_away)
            .and_then(|minor| i64::try_from(minor).ok())
            .map(|minor| Amount::new(minor, self.currency))
            .ok_or(MoneyError::OutOfBounds(self.currency))
    }
}

/// `whole.fraction` in units of `10^-decimals`, unless it is past [`MAX_PRICE_MAJOR`].
fn picos_of(whole: &str, fraction: &str, decimals: u8) -> Option<i128> {
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(usize::from(decimals));
    // A number with more digits than i128 holds ends in `None` here, which is past the maximum.
    let picos = whole.bytes().chain(digits).try_fold(0_i128, |sum, digit| {
        sum.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))
    })?;
    let most =
        i128::from(MAX_PRICE_MAJOR).checked_mul(10_i128.checked_pow(u32::from(decimals))?)?;
    (picos <= most).then_some(picos)
}

/// Whole minor units nearest to so many picos; halves go away from zero.
fn round_half_away(picos: i128) -> Option<i128> {
    let whole = picos.checked_div(PICOS_PER_MINOR)?;
    let rest = picos.checked_rem(PICOS_PER_MINOR)?;
    if rest.checked_abs()?.checked_mul(2)? < PICOS_PER_MINOR {
        Some(whole)
    } else {
        whole.checked_add(rest.signum())
    }
}

/// `0.15 USD`: at least the currency's decimals, and as many more as the price has.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = usize::from(self.currency.exponent());
        let decimals = least.saturating_add(usize::from(FINER_DECIMALS));
        let at_least = decimals.saturating_add(1);
        let digits = format!("{:0at_least$}", self.picos);
        let (whole, fraction) =
            digits.split_at_checked(digits.len().saturating_sub(decimals)).unwrap_or((&digits, ""));
        let (shown, finer) = fraction.split_at_checked(least).unwrap_or((fraction, ""));
        let finer = finer.trim_end_matches('0');
        let point = if shown.is_empty() && finer.is_empty() { "" } else { "." };
        write!(f, "{whole}{point}{shown}{finer} {}", self.currency)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str, code: &str) -> Result<Price, BadPrice> {
        Price::parse(text, code.parse().unwrap())
    }

    #[test]
    fn prices_are_read_exactly_or_refused_by_name() {
        fn check(text: &str, code: &str, found: &str) {
            let result = price(text, code);
            let result = result.map_or_else(|error| error.to_string(), |price| price.to_string());
            assert_eq!(result, found, "{text} {code}");
        }
        check("14.95", "USD", "14.95 USD");
        check("0", "USD", "0.00 USD");
        check("-0.00", "USD", "0.00 USD");
        check("007.5", "USD", "7.50 USD");
        check("0.00012", "USD", "0.00012 USD");
        check("1500", "JPY", "1500 JPY");
        check("0.25", "JPY", "0.25 JPY");
        check("0.00000000000001", "USD", "0.00000000000001 USD");
        check("0.100000000000000000000000", "USD", "0.10 USD");
        check("0.000000000001", "JPY", "0.000000000001 JPY");
        check("1000000000", "USD", "1000000000.00 USD");
        check("0.0000000000001", "JPY", "expected at most 12 decimals for JPY, found 13");
        check("0.000000000000001", "USD", "expected at most 14 decimals for USD, found 15");
        check("1000000000.01", "USD", "expected a price of at most 1000000000 USD, found more");
        check(&"9".repeat(100), "USD", "expected a price of at most 1000000000 USD, found more");
        check("-14.95", "USD", "expected a price of zero or more, found -14.95");
        for text in ["", ".", ".5", "5.", "1e3", "+1", "1_000", "1,50", "--1", "0x10", "٣", "NaN"]
        {
            let found = format!("expected a decimal number such as 14.95, found {text:?}");
            check(text, "USD", &found);
        }
    }

    #[test]
    fn a_line_is_rounded_once_half_away_from_zero() {
        fn check(text: &str, quantity: u64, found: &str) {
            let result = price(text, "USD").unwrap().times(quantity);
            let result = result.map_or_else(|error| error.to_string(), |amount| amount.to_string());
            assert_eq!(result, found, "{quantity} x {text}");
        }
        check("0.15", 123, "18.45 USD");
        check("0.005", 1, "0.01 USD");
        check("0.00499999999999", 1, "0.00 USD");
        check("0.005", 3, "0.02 USD");
        // Rounded per call it would be nothing.
        check("0.0001", 12_345, "1.23 USD");
        check("0.0001", 12_350, "1.24 USD");
        check("1000000000", 92_233_720, "92233720000000000.00 USD");
        check("1000000000", 92_233_721, "the amount is past 92233720368547758.07 USD");
        check("1000000000", u64::MAX, "the amount is past 92233720368547758.07 USD");
        check("0.00000000000001", u64::MAX, "184467.44 USD");
        check("0", u64::MAX, "0.00 USD");
    }

    #[test]
    fn negative_halves_round_away_from_zero_too() {
        let half = PICOS_PER_MINOR / 2;
        for (picos, minor) in [
            (half, 1),
            (half - 1, 0),
            (-half, -1),
            (1 - half, 0),
            (3 * half, 2),
            (-3 * half, -2),
            (-3 * half + 1, -1),
        ] {
            assert_eq!(round_half_away(picos), Some(minor), "{picos}");
        }
    }

    proptest! {
        #[test]
        fn prices_print_as_they_parse(whole in 0..1_000_000_000_u64, finer in 0..10_u64.pow(14)) {
            let price = price(&format!("{whole}.{finer:014}"), "USD").unwrap();
            let printed = price.to_string();
            let again = Price::parse(printed.strip_suffix(" USD").unwrap(), price.currency());
            prop_assert_eq!(again, Ok(price));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", number in "-?[0-9]{0,60}\\.?[0-9]{0,60}") {
            let _ = price(&text, "USD");
            let _ = price(&number, "KWD");
        }
    }
}
