//! Instruction sets: detection and dispatch, in one place.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod vector;

use std::{fmt, str::FromStr};

use thiserror::Error;

pub(crate) use kernel::Kernel;
pub(crate) use vector::Vector;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Set {
    Portable,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
}

impl Set {
    /// Every set of this architecture, the best first.
    const ALL: &[Set] = &[
        #[cfg(target_arch = "x86_64")]
        Set::Avx512Bf16,
        #[cfg(target_arch = "x86_64")]
        Set::Avx512,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2,
        #[cfg(target_arch = "aarch64")]
        Set::Neon,
        Set::Portable,
    ];

    /// Every set that this machine has, the best first.
    fn here() -> impl Iterator<Item = Set> {
        Set::ALL.iter().copied().filter(|set| set.is_here())
    }

    fn name(self) -> &'static str {
        match self {
            Set::Portable => "portable",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => "avx512-bf16",
        }
    }

    /// Whether this machine has it.
    fn is_here(self) -> bool {
        match self {
            Set::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                Set::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => {
                // No machine has the former without the latter.
                Set::Avx512.is_here()
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }
}

/// An instruction set that this machine has: a value is the proof.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Isa(Set);

/// An instruction set that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IsaError {
    /// The name means nothing on this architecture.
    #[error(
        "RESNET_ISA: unknown instruction set '{0}': expected one of {known}",
        known = names(Set::ALL.iter().copied())
    )]
    Unknown(String),
    /// The machine lacks it.
    #[error("RESNET_ISA: this machine has no {0}; it has {here}", here = names(Set::here()))]
    Missing(String),
}

fn names(sets: impl Iterator<Item = Set>) -> String {
    sets.map(Set::name).collect::<Vec<_>>().join(", ")
}

impl Isa {
    /// Every set that this machine has, the best first.
    pub fn available() -> Vec<Isa> {
        Set::here().map(Isa).collect()
    }

    /// Every set that this machine has, for tests, which must cover them all.
    ///
    /// # Panics
    /// If the environment variable `RESNET_TEST_ISA`, a list separated by commas, names a set that
    /// this machine lacks: a test that cannot run must not pass. `all` stands for those that it
    /// has.
    pub fn to_test() -> Vec<Isa> {
        let here = Self::available();
        let wanted = std::env::var("RESNET_TEST_ISA").unwrap_or_default();
        for name in wanted.split(',').filter(|name| !name.is_empty() && *name != "all") {
            let found = here.iter().any(|isa| isa.name() == name);
            let has = names(Set::here());
            assert!(found, "RESNET_TEST_ISA: this machine has no {name} to test; it has {has}");
        }
        here
    }

    /// The set that the environment variable `RESNET_ISA` names, or else the best.
    ///
    /// # Errors
    /// If it names a set that is unknown or that the machine lacks.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var("RESNET_ISA") {
            Ok(name) if !name.is_empty() => name.parse(),
            _ => Ok(Self::available()[0]),
        }
    }

    /// Its name: `avx512-bf16` (AVX-512 with dot products of bfloat16 and of 16-bit integers),
    /// `avx512`, `avx2`, `neon` or `portable`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether it has an instruction for dot products of bfloat16 pairs (`vdpbf16ps`). Other sets
    /// widen to f32.
    pub fn has_native_bf16_dot(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// Runs a kernel with this set.
    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        match (self.0, K::PAIRS) {
            (Set::Portable, _) => portable::enter(kernel),
            #[cfg(target_arch = "aarch64")]
            // SAFETY: a value of this variant is made only where the machine has the set.
            (Set::Neon, _) => unsafe { neon::enter(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Set::Avx2, _) => unsafe { avx2::enter(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Set::Avx512Bf16, true) => unsafe { avx512::enter_bf16(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above, and one of these sets has all of the other.
            (Set::Avx512 | Set::Avx512Bf16, _) => unsafe { avx512::enter(kernel) },
        }
    }

    /// Values in a vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;
            const PAIRS: bool = false;
            #[inline(always)]
            fn run<V: Vector, const MR: usize>(self) -> usize {
                V::LANES
            }
        }
        self.dispatch(Lanes)
    }

    /// Rows of a register tile, `MR` in BLIS.
    pub fn mr(self) -> usize {
        struct Rows;
        impl Kernel for Rows {
            type Output = usize;
            const PAIRS: bool = false;
            #[inline(always)]
            fn run<V: Vector, const MR: usize>(self) -> usize {
                MR
            }
        }
        self.dispatch(Rows)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        match Set::ALL.iter().find(|set| set.name() == name) {
            Some(set) if set.is_here() => Ok(Isa(*set)),
            Some(_) => Err(IsaError::Missing(name.into())),
            None => Err(IsaError::Unknown(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::{bf16_to_f32, f32_to_bf16};

    /// Every operation of a vector, against plain arithmetic.
    struct Check;

    impl Kernel for Check {
        type Output = usize;
        const PAIRS: bool = true;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) -> usize {
            let n = V::LANES;
            let a: Vec<f32> = (0..n).map(|i| i as f32 * 1.37 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| 2.0 - i as f32 * 0.77).collect();
            // SAFETY: both hold LANES values.
            let (x, y) = unsafe { (V::load(a.as_ptr()), V::load(b.as_ptr())) };
            let out = |v: V| {
                let mut o = vec![0.0f32; n];
                // SAFETY: it holds LANES values.
                unsafe { v.store(o.as_mut_ptr()) };
                o
            };
            let check = |v: V, f: &dyn Fn(f32, f32) -> f32| {
                for (i, got) in out(v).into_iter().enumerate() {
                    let want = f(a[i], b[i]);
                    assert!((got - want).abs() <= want.abs() * 1e-6, "lane {i}: {got} for {want}");
                }
            };
            check(x.add(y), &|a, b| a + b);
            check(x.sub(y), &|a, b| a - b);
            check(x.mul(y), &|a, b| a * b);
            check(x.div(y), &|a, b| a / b);
            check(x.mul(x).sqrt(), &|a, _| (a * a).sqrt());
            let biased = |n: f32| V::splat(n).add(V::splat(V::ROUND + 127.0));
            for (n, want) in [(-127.0, 0.0), (-3.0, 0.125), (5.0, 32.0), (128.0, f32::INFINITY)] {
                assert!(out(biased(n).shift_to_exponent()).iter().all(|&got| got == want), "{n}");
            }
            check(x.max(y), &f32::max);
            check(x.relu(), &|a, _| a.max(0.0));
            check(x.where_positive(y), &|a, b| if b > 0.0 { a } else { 0.0 });
            check(x.where_equal(y, y), &|a, _| a);
            check(x.where_equal(x, y), &|a, b| if a == b { a } else { 0.0 });
            check(x.mul_add(y, V::splat(0.5)), &|a, b| a * b + 0.5);
            for nan in [V::splat(f32::NAN).max(x), x.max(V::splat(f32::NAN))] {
                assert!(out(nan).iter().all(|v| v.is_nan()), "max hides NaN");
            }
            assert!(out(V::splat(f32::NAN).relu()).iter().all(|v| v.is_nan()), "ReLU hides NaN");
            check(V::pair_bf16(x, y).low_bf16(), &|a, _| bf16_to_f32(f32_to_bf16(a)));
            check(V::pair_bf16(x, y).high_bf16(), &|_, b| bf16_to_f32(f32_to_bf16(b)));
            let half = |x| bf16_to_f32(f32_to_bf16(x));
            let pairs = (V::pair_bf16(x, y), V::pair_bf16(y, V::splat(0.5)));
            check(V::splat(8.0).dot2(pairs.0, pairs.1), &|a, b| {
                8.0 + half(a) * half(b) + half(b) * 0.5
            });
            let whole = |x: f32| f64::from(x * 100.0).round_ties_even();
            let scales = [V::splat(100.0), V::splat(-100.0)];
            let pairs = (V::pair_i16(x, y, scales), V::pair_i16(y, x, scales));
            // Half of the largest sum there is.
            let large = V::pair_i16(V::splat(-32768.0), V::splat(1.0), [V::splat(1.0); 2]);
            let sum = V::zero().dot2_i16(large, large).dot2_i16(pairs.0, pairs.1);
            check(sum.i32_to_f32(), &|a, b| {
                (f64::from(1 << 30) + 1.0 + 2.0 * whole(a) * whole(b)) as f32
            });
            let both = [out(x), out(y)].concat();
            let [even, odd] = V::deinterleave(x, y);
            for (i, (even, odd)) in out(even).into_iter().zip(out(odd)).enumerate() {
                assert_eq!([even, odd], both[2 * i..2 * i + 2]);
            }
            let back = V::interleave(even, odd).map(out).concat();
            assert_eq!(back, both);
            for step in 0..n {
                let from = |i: usize| (i * 3 + step) % n;
                let lanes: Vec<f32> = (0..n).map(|i| f32::from_bits(from(i) as u32)).collect();
                let want: Vec<f32> = (0..n).map(|i| a[from(i)]).collect();
                assert_eq!(out(x.permute(V::read(&lanes))), want);
            }
            let block: Vec<f32> = (0..n * (n + 3)).map(|i| i as f32).collect();
            let mut transposed = vec![0.0; n * (n + 1)];
            for scale in [None, Some(x)] {
                // SAFETY: both hold n rows of n values.
                unsafe {
                    V::transpose(block.as_ptr(), n + 3, transposed.as_mut_ptr(), n + 1, scale)
                };
                for (row, column) in (0..n * n).map(|i| (i / n, i % n)) {
                    let want = block[column * (n + 3) + row] * scale.map_or(1.0, |_| a[row]);
                    assert_eq!(transposed[row * (n + 1) + column], want);
                }
            }
            let special = [1.0, 1.003_906_3, 1.011_718_8, -1e30, f32::INFINITY, f32::NAN, 1e-40];
            for s in special {
                let mut half = vec![0u16; n];
                // SAFETY: it holds LANES values.
                let back = unsafe {
                    V::splat(s).store_bf16(half.as_mut_ptr());
                    V::load_bf16(half.as_ptr())
                };
                // Some machines flush what is smaller than the smallest normal number.
                let flushed = half[0] == 0 && s.abs() < f32::MIN_POSITIVE;
                assert!(flushed || half.iter().all(|&h| h == f32_to_bf16(s)), "{s}");
                let want = bf16_to_f32(half[0]);
                assert!(out(back).iter().all(|v| v.to_bits() == want.to_bits()));
            }
            n
        }
    }

    #[test]
    fn every_vector_computes() {
        for isa in Isa::to_test() {
            assert_eq!(isa.dispatch(Check), isa.lanes());
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!("portable".parse::<Isa>().unwrap().name(), "portable");
        assert!(matches!("sse9".parse::<Isa>(), Err(IsaError::Unknown(_))));
        for set in Set::ALL {
            let found = set.name().parse();
            assert_eq!(found == Ok(Isa(*set)), Isa::available().contains(&Isa(*set)));
            assert!(found.is_ok() || found == Err(IsaError::Missing(set.name().into())));
            assert!(IsaError::Unknown("sse9".into()).to_string().contains(set.name()));
        }
    }
}
