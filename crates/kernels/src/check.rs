//! What every public function checks before anything else: sizes that do not wrap, and lengths of
//! slices.
//!
//! All `unsafe` code relies on these checks.

use crate::values::Dtype;

/// The product of sizes: a number of values.
///
/// # Panics
/// If memory cannot hold them.
#[track_caller]
pub(crate) fn product(sizes: &[usize]) -> usize {
    let all = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    match all.filter(|&all| all <= MOST) {
        Some(all) => all,
        None => panic!("{sizes:?} values are more than memory holds"),
    }
}

/// The most values of up to 8 bytes in a slice, so that neither indices nor bytes wrap.
pub(crate) const MOST: usize = isize::MAX as usize / 8;

/// # Panics
/// If a slice is shorter.
#[track_caller]
pub(crate) fn at_least(name: &str, len: usize, expected: usize) {
    assert!(len >= expected, "{name}: {len} values, where {expected} are needed");
}

/// # Panics
/// If a slice is of another length.
#[track_caller]
pub(crate) fn exactly(name: &str, len: usize, expected: usize) {
    assert!(len == expected, "{name}: {len} values, where {expected} are expected");
}

/// # Panics
/// If values have another dtype than the rest of a call.
#[track_caller]
pub(crate) fn same_dtype(got: Dtype, expected: Dtype) {
    assert!(got == expected, "expected {expected} values, got {got}");
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn products_do_not_wrap() {
        assert_eq!(product(&[3, 5, 7]), 105);
        assert_eq!(product(&[0, usize::MAX]), 0);
        assert_eq!(product(&[MOST]), MOST);
        for sizes in [&[MOST + 1][..], &[1 << 32, 1 << 32], &[usize::MAX, 2], &[1 << 51, 1 << 13]] {
            assert!(catch_unwind(|| product(sizes)).is_err(), "{sizes:?}");
        }
    }
}
