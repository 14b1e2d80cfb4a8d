//! Loops that compute nothing of use: what a thread can do at most.

use super::{
    Isa, Kind,
    lanes::{Four, Lanes},
};

/// Independent series that a loop of multiply-adds may have.
pub const CHAINS: [usize; 4] = [4, 8, 12, 24];

/// What a thread is kept busy with.
#[derive(Clone, Copy)]
pub enum Load<'a> {
    /// So many steps of each of so many chains of [`CHAINS`], `x <- x * a + b` on vectors.
    Chains(usize, usize),
    /// The sum of these values.
    Read(&'a [f32]),
}

/// Scalars of a vector.
pub fn lanes(isa: Isa) -> usize {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => <std::arch::x86_64::__m512 as Lanes>::LANES,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => <std::arch::x86_64::__m256 as Lanes>::LANES,
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => <std::arch::aarch64::float32x4_t as Lanes>::LANES,
        Kind::Portable => Four::LANES,
    }
}

/// Does it, and gives something that depends on all of it.
///
/// # Panics
/// When the chains are none of [`CHAINS`].
pub fn busy(isa: Isa, load: Load) -> f32 {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(load: Load) -> f32 {
        // SAFETY: this function is called only where the processor has the instructions.
        unsafe { run::<std::arch::x86_64::__m512>(load) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(load: Load) -> f32 {
        // SAFETY: as above.
        unsafe { run::<std::arch::x86_64::__m256>(load) }
    }
    match isa.0 {
        // SAFETY: an Isa of this kind is made only where the processor has these features.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512(load) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2(load) },
        // SAFETY: every processor of this target has the instructions.
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => unsafe { run::<std::arch::aarch64::float32x4_t>(load) },
        // SAFETY: every processor has the instructions of Four.
        Kind::Portable => unsafe { run::<Four>(load) },
    }
}

/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn run<V: Lanes>(load: Load) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        match load {
            Load::Chains(4, steps) => chains::<V, 4>(steps),
            Load::Chains(8, steps) => chains::<V, 8>(steps),
            Load::Chains(12, steps) => chains::<V, 12>(steps),
            Load::Chains(24, steps) => chains::<V, 24>(steps),
            Load::Chains(other, _) => unreachable!("no loop of {other} chains"),
            Load::Read(values) => read::<V>(values),
        }
    }
}

/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn chains<V: Lanes, const N: usize>(steps: usize) -> f32 {
    let starts: [f32; N] = std::array::from_fn(|at| at as f32);
    let (a, b) = std::hint::black_box((0.5f32, 0.25f32));
    // SAFETY: each splat reads one scalar; the instructions are the caller's.
    unsafe {
        let (a, b) = (V::splat(&a), V::splat(&b));
        let mut sums: [V; N] = std::array::from_fn(|at| V::splat(&starts[at]));
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = b.plus(*sum, a);
            }
        }
        total(&sums)
    }
}

/// Sums that a read keeps, so that loads need not wait for each other.
const READS: usize = 8;

/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn read<V: Lanes>(values: &[f32]) -> f32 {
    // SAFETY: each load stays within its chunk of READS vectors; the instructions are the caller's.
    unsafe {
        let one = V::splat(&1.0);
        let mut sums = [V::splat(&0.0); READS];
        for chunk in values.chunks_exact(READS * V::LANES) {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = sum.plus(V::load(chunk.as_ptr().add(at * V::LANES)), one);
            }
        }
        total(&sums)
    }
}

/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
unsafe fn total<V: Lanes>(sums: &[V]) -> f32 {
    let mut all = 0.0;
    for sum in sums {
        let mut lanes = [0f32; 16];
        // SAFETY: a vector has at most 16 scalars; the instructions are the caller's.
        unsafe { sum.store(lanes.as_mut_ptr()) };
        all += lanes.iter().sum::<f32>();
    }
    all
}
