//! Money: currencies, amounts as they are billed, exact prices, and the one door where an exact
//! product becomes an amount ([`Price::times`]).

mod amount;
mod currency;
mod price;

pub use amount::{Amount, MoneyError};
pub use currency::{BadCurrency, Currency};
pub use price::{BadPrice, MAX_PRICE_MAJOR, Price};
