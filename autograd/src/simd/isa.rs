//! The instruction sets, and which of them this CPU has.

use std::fmt;
use std::sync::OnceLock;

use crate::real::Real;

/// The environment variable that caps the instruction set: `portable`, `avx2` or `avx512`.
pub const ISA_VARIABLE: &str = "UNET_ISA";

/// An instruction set, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain arrays, which the compiler maps to what the target always has (SSE2, NEON). Without a fused
    /// multiply-add on the target, [`Simd::mul_add`](super::Simd::mul_add) rounds twice.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// All sets.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this CPU has the set.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The numbers of type `T` in one vector of this set.
    pub fn lanes<T: Real>(self) -> usize {
        let bytes = match self {
            Self::Portable => 16,
            Self::Avx2 => 32,
            Self::Avx512 => 64,
        };
        bytes / size_of::<T>()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// The sets this CPU has, from the weakest; the cap does not shorten the list.
pub fn available() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

/// The set that [`dispatch`](super::dispatch) uses: the strongest this CPU has, not above the cap in [`ISA_VARIABLE`].
///
/// CPU and variable are looked at once in the life of the process.
///
/// # Panics
///
/// If the variable holds anything but the name of a set.
pub fn active() -> Isa {
    static ACTIVE: OnceLock<Isa> = OnceLock::new();
    *ACTIVE.get_or_init(|| {
        let cap =
            std::env::var_os(ISA_VARIABLE).map_or(Ok(Isa::Avx512), |name| parse(&name.to_string_lossy()));
        strongest(cap.unwrap_or_else(|message| panic!("{message}")))
    })
}

pub(super) fn parse(name: &str) -> Result<Isa, String> {
    Isa::ALL.into_iter().find(|isa| isa.to_string() == name).ok_or_else(|| {
        format!("{ISA_VARIABLE}={name:?} names no instruction set: use portable, avx2 or avx512, or unset it")
    })
}

pub(super) fn strongest(cap: Isa) -> Isa {
    available().into_iter().filter(|isa| *isa <= cap).max().expect("the portable set is always there")
}
