//! Numbers, shapes and layouts: what everything else stands on.

use autograd::parallel::{SLAB, slab_of_rows};
use autograd::{Real, Shape, Tensor};

#[test]
fn sigmoid_and_softplus_stay_finite_and_right_for_extreme_logits() {
    for x in [-1e4f32, -104.0, -88.0, -17.4, 0.0, 17.4, 88.0, 104.0, 1e4] {
        let want = 1.0 / (1.0 + (-f64::from(x)).exp());
        assert!((f64::from(x.sigmoid()) - want).abs() <= 1e-6 * want + 1e-30, "sigmoid({x})");
        assert!(x.softplus().is_finite() && x.softplus() >= x.max(0.0));
    }
    assert_eq!(f32::INFINITY.sigmoid(), 1.0);
    assert_eq!(f32::NEG_INFINITY.sigmoid(), 0.0);
}

#[test]
fn a_slab_of_rows_holds_as_many_whole_rows_as_a_slab_has_room_for() {
    for width in [1, 2, 3, 17, 1000, SLAB - 1, SLAB, SLAB + 1, 5 * SLAB] {
        let slab = slab_of_rows(width);
        assert!(slab.is_multiple_of(width) && slab > 0, "{slab} of {width}");
        assert!(slab <= SLAB.max(width) && slab + width > SLAB, "{slab} of {width}");
    }
    assert_eq!(slab_of_rows(0), SLAB);
}

/// What the panic of `f` says.
fn message(f: impl FnOnce() -> Shape + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(f).expect_err("more elements than any memory holds");
    payload.downcast_ref::<String>().expect("a formatted message").clone()
}

#[test]
fn a_shape_of_more_elements_than_memory_holds_is_refused_by_name() {
    // The products are 2^64, which wraps to 0; 2^61 elements, which are 2^63 bytes or more; and 2^64 behind a 0, where
    // the number of rows would wrap.
    for dims in [[1 << 32, 1 << 32, 1], [1 << 61, 1, 1], [0, 1 << 32, 1 << 32]] {
        assert!(message(move || Shape::from(dims)).contains(&format!("{dims:?}")));
    }
    let wide = Shape::from([1 << 32, 3]);
    assert!(message(move || wide.with_channels(1 << 32)).contains("[4294967296, 4294967296]"));
    assert_eq!(Shape::from([1 << 59, 1]).numel(), 1 << 59);
    assert_eq!(Shape::from([0, 1 << 59]).rows(), 0);
}

#[test]
fn permutations_move_each_element_to_its_named_place() {
    let x = Tensor::<f64>::from_fn([2, 3, 4], |i| i as f64);
    let y = x.permute(&[2, 0, 1]);
    assert_eq!(y.dims(), [4, 2, 3]);
    for a in 0..2 {
        for b in 0..3 {
            for c in 0..4 {
                assert_eq!(y.data()[(c * 2 + a) * 3 + b], x.data()[(a * 3 + b) * 4 + c]);
            }
        }
    }
}

#[test]
fn every_conversion_is_undone_by_its_inverse() {
    let x = Tensor::<f32>::from_fn([2, 3, 4, 5, 6], |i| i as f32);
    assert_eq!(x.from_ncdhw().to_ncdhw(), x);
    assert_eq!(x.from_oidhw().to_oidhw(), x);
    assert_eq!(x.from_iodhw().to_iodhw(), x);
    assert_eq!(x.from_ncdhw().dims(), [2, 4, 5, 6, 3]);
    assert_eq!(x.from_oidhw().dims(), [4, 5, 6, 3, 2]);
    assert_eq!(x.from_iodhw().dims(), [4, 5, 6, 2, 3]);
}
