//! Amounts as Kubernetes writes them: `250m`, `1.5`, `512Mi`, `2e3`. Pure.
//!
//! The grammar is that of the API reference, "Quantity". The value is a `f64`: what is computed from it is a ratio for a policy.

/// Returns the amount that `text` says; `None` when it is none, or below zero.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    // A suffix of letters; the exponent of `1e3` is part of the number, an `E` alone is a suffix.
    let split = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |last| last + 1);
    let (number, suffix) = text.split_at(split);
    let amount = number.parse::<f64>().ok()? * factor(suffix)?;
    (amount.is_finite() && amount >= 0.0).then_some(amount)
}

fn factor(suffix: &str) -> Option<f64> {
    Some(match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        let table = [
            ("0", 0.0),
            ("2", 2.0),
            ("250m", 0.25),
            ("1500000n", 0.0015),
            ("12u", 0.000_012),
            ("0.5", 0.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1E3", 1000.0),
            ("2E", 2e18),
            ("512Mi", 536_870_912.0),
            ("1.5Gi", 1_610_612_736.0),
            ("128974848", 128_974_848.0),
            ("129M", 129e6),
            ("7k", 7000.0),
        ];
        for (text, amount) in table {
            let read = parse(text).unwrap();
            assert!((read - amount).abs() <= amount * 1e-12, "{text}: {read}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "m", "-1", "1x", "1 Gi", "Mi", "inf", "NaN", "1e999", "0x10"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            prop_assert!(parse(&text).is_none_or(|amount| amount.is_finite() && amount >= 0.0));
        }
    }
}
