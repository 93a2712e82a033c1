//! Currencies of ISO 4217 and how many decimals each has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A currency of ISO 4217 that has minor units, or whose major unit is its smallest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

impl Currency {
    /// The three-letter code, upper case.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals an amount has: 2 for dollars and cents.
    pub fn exponent(self) -> u8 {
        self.exponent
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// Text that names no currency to bill in.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCurrency {
    /// Not an upper-case code of the table.
    #[error("expected a currency of ISO 4217 such as USD, found {0:?}")]
    Unknown(String),
    /// A precious metal, a unit of account, or a code for tests.
    #[error("expected a currency with minor units, found {0}, which has none to bill in")]
    NoMinorUnit(&'static str),
}

impl FromStr for Currency {
    type Err = BadCurrency;

    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        for (exponent, codes) in CODES {
            if let Some(code) = codes.iter().find(|code| **code == text) {
                return Ok(Self { code, exponent });
            }
        }
        match NO_MINOR_UNIT.iter().find(|code| **code == text) {
            Some(code) => Err(BadCurrency::NoMinorUnit(code)),
            None => Err(BadCurrency::Unknown(text.to_owned())),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Codes by their number of decimals (ISO 4217, lists one and two).
#[rustfmt::skip] // A table: one row a code would be two hundred lines.
const CODES: [(u8, &[&str]); 4] = [
    (0, &[
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
        "VUV", "XAF", "XOF", "XPF",
    ]),
    (2, &[
        "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN",
        "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE",
        "CHF", "CHW", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD",
        "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD",
        "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR",
        "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK",
        "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO",
        "NOK", "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB",
        "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SLL", "SOS", "SRD", "SSP", "STN",
        "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD",
        "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD", "XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG",
        "ZWL",
    ]),
    (3, &[
        "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND",
    ]),
    (4, &[
        "CLF", "UYW",
    ]),
];

/// Codes to which ISO 4217 gives no minor unit.
const NO_MINOR_UNIT: [&str; 13] =
    ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_have_the_exponents_of_iso_4217() {
        fn check(code: &str, exponent: Result<u8, &str>) {
            let found = code.parse().map(Currency::exponent);
            assert_eq!(found.map_err(|error| error.to_string()), exponent.map_err(str::to_owned));
        }
        check("USD", Ok(2));
        check("JPY", Ok(0));
        check("KWD", Ok(3));
        check("CLF", Ok(4));
        check("usd", Err(r#"expected a currency of ISO 4217 such as USD, found "usd""#));
        check("", Err(r#"expected a currency of ISO 4217 such as USD, found """#));
        check(
            "XAU",
            Err("expected a currency with minor units, found XAU, which has none to bill in"),
        );
    }

    #[test]
    fn the_table_names_each_code_once() {
        let mut codes: Vec<_> = CODES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        codes.extend(NO_MINOR_UNIT);
        assert!(
            codes
                .iter()
                .all(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()))
        );
        let written = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), written), (183, 183));
    }
}
