//! Numbers that stand for whole ones.

/// A `f32` slope of 1/255 makes 1.0000000591 of 255: farther than by rounding and short of anything that interpolation
/// would leave.
const SLACK: f64 = 1e-4;

/// The whole number that a value is, or lies within 1e-4 of; `None` for fractions, NaN and infinities. Beyond ±2^63 it is
/// the end of `i64`.
pub fn whole_number(value: f64) -> Option<i64> {
    let nearest = value.round();
    ((value - nearest).abs() <= SLACK).then_some(nearest as i64)
}

#[cfg(test)]
mod tests {
    use super::whole_number;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lies_within_a_ten_thousandth_is_whole(n in -1_000_000i64..1_000_000, apart in -0.5f64..0.5) {
            let want = (apart.abs() < 0.99e-4).then_some(n);
            prop_assume!(want.is_some() || apart.abs() > 1.01e-4);
            prop_assert_eq!(whole_number(n as f64 + apart), want);
            prop_assert_eq!(whole_number(n as f64 + apart * 1.9e-4), Some(n));
        }
    }

    #[test]
    fn what_is_no_number_is_not_whole() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5, -0.25, 1.001] {
            assert_eq!(whole_number(value), None, "{value}");
        }
        assert_eq!(whole_number(-0.00005), Some(0));
        assert_eq!(whole_number(1e300), Some(i64::MAX));
        assert_eq!(whole_number(255.0 * f64::from(1.0f32 / 255.0)), Some(1));
    }
}
