//! Amounts of money as people read them.

use crate::value::Value;

/// How a language writes an amount.
struct Style {
    thousands: &'static str,
    decimal: &'static str,
    /// Whether the symbol stands before the number; after it comes a no-break space first.
    before: bool,
}

/// Currencies whose smallest unit is not a hundredth (ISO 4217 table A.1).
const DIGITS: &[(&str, u32)] = &[
    ("BHD", 3),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("IQD", 3),
    ("ISK", 0),
    ("JOD", 3),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("PYG", 0),
    ("RWF", 0),
    ("TND", 3),
    ("UGX", 0),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
];

const SYMBOLS: &[(&str, &str)] = &[
    ("EUR", "€"),
    ("USD", "$"),
    ("GBP", "£"),
    ("JPY", "¥"),
    ("INR", "₹"),
    ("KRW", "₩"),
    ("ILS", "₪"),
    ("UAH", "₴"),
    ("VND", "₫"),
    ("NGN", "₦"),
    ("PHP", "₱"),
    ("TRY", "₺"),
    ("PLN", "zł"),
    ("CZK", "Kč"),
];

fn style(locale: &str) -> Option<Style> {
    let style = |thousands, decimal, before| Some(Style { thousands, decimal, before });
    match locale {
        "de-CH" => return style("\u{2019}", ".", true),
        "de-AT" => return style("\u{a0}", ",", true),
        _ => {}
    }
    match locale.split(['-', '_']).next().unwrap_or_default() {
        "en" | "ja" | "ko" | "zh" | "he" | "th" => style(",", ".", true),
        "de" | "es" | "it" | "da" | "el" | "id" | "ro" | "sl" | "hr" | "vi" => style(".", ",", false),
        "nl" | "tr" | "pt" => style(".", ",", true),
        "fr" => style("\u{202f}", ",", false),
        "cs" | "sk" | "pl" | "ru" | "uk" | "bg" | "fi" | "sv" | "nb" | "no" | "hu" | "et" | "lv" | "lt" => {
            style("\u{a0}", ",", false)
        }
        _ => None,
    }
}

/// An amount of the currency's smallest unit (cents, or yen) as a text: `€3.50` in English, `3,50 €` in German.
/// Null gives the empty text.
///
/// # Errors
/// A message for the site's author when the amount is not a whole number, the currency not a code of three capital
/// letters, or the locale unknown.
pub(super) fn money(amount: &Value, currency: &str, locale: &str) -> Result<String, String> {
    if amount.is_null() {
        return Ok(String::new());
    }
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{currency}` is not a currency code such as EUR"));
    }
    let style = style(locale).ok_or_else(|| format!("money() knows no locale `{locale}`"))?;
    let amount = whole(amount)
        .ok_or_else(|| format!("money() takes a whole number of the smallest unit (cents), but this is `{amount}`"))?;
    let number = number(amount, digits(currency), &style);
    let symbol = SYMBOLS.iter().find(|(code, _)| *code == currency).map_or(currency, |(_, symbol)| symbol);
    let sign = if amount < 0 { "-" } else { "" };
    let gap = if style.before && symbol.chars().all(|c| !c.is_alphabetic()) && locale.starts_with("en") {
        ""
    } else {
        "\u{a0}"
    };
    Ok(if style.before { format!("{sign}{symbol}{gap}{number}") } else { format!("{sign}{number}\u{a0}{symbol}") })
}

fn digits(currency: &str) -> u32 {
    DIGITS.iter().find(|(code, _)| *code == currency).map_or(2, |(_, digits)| *digits)
}

/// The whole number in a value; sums in SQL may come as doubles, and JSON as text.
fn whole(amount: &Value) -> Option<i64> {
    match amount {
        Value::Int(number) => Some(*number),
        // Doubles are exact only up to 2^53.
        Value::Real(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn number(amount: i64, digits: u32, style: &Style) -> String {
    let unit = 10u64.pow(digits);
    let amount = amount.unsigned_abs();
    let mut out = grouped(amount / unit, style.thousands);
    if digits > 0 {
        out.push_str(style.decimal);
        out.push_str(&format!("{:0width$}", amount % unit, width = digits as usize));
    }
    out
}

fn grouped(number: u64, separator: &str) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push_str(separator);
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_languages_do() {
        let cases = [
            (350, "EUR", "en", "€3.50"),
            (-5, "USD", "en", "-$0.05"),
            (123_456_789, "GBP", "en-GB", "£1,234,567.89"),
            (1_500, "JPY", "en", "¥1,500"),
            (1_500, "KWD", "en", "KWD\u{a0}1.500"),
            (350, "CHF", "de-CH", "CHF\u{a0}3.50"),
            (123_450, "EUR", "de", "1.234,50\u{a0}€"),
            (123_450, "EUR", "fr-FR", "1\u{202f}234,50\u{a0}€"),
            (123_450, "EUR", "nl", "€\u{a0}1.234,50"),
            (i64::MIN, "EUR", "en", "-€92,233,720,368,547,758.08"),
        ];
        for (amount, currency, locale, expected) in cases {
            assert_eq!(money(&Value::Int(amount), currency, locale).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn null_prints_nothing_and_what_is_no_amount_is_an_error() {
        assert_eq!(money(&Value::Null, "EUR", "en").as_deref(), Ok(""));
        assert_eq!(money(&Value::Real(350.0), "EUR", "en").as_deref(), Ok("€3.50"));
        for (value, currency, locale) in [
            (Value::Real(3.5), "EUR", "en"),
            (Value::text("three"), "EUR", "en"),
            (Value::Int(1), "euro", "en"),
            (Value::Int(1), "EUR", "tlh"),
        ] {
            assert!(money(&value, currency, locale).is_err());
        }
    }
}
