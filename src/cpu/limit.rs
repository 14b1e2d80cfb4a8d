//! What the processor can do at most: loops of multiply-adds only, and of traffic only, on all threads at once.

use std::{hint::black_box, time::Instant};

use rayon::ThreadPool;

use super::{
    Isa, Threads,
    microkernels::{CHAINS, Load, busy, lanes},
};
use crate::bench::{Limit, SETS};

/// Seconds of a loop that is worth timing.
const WORTH: f64 = 0.01;
/// How often a loop is timed; the best counts.
const REPEATS: usize = 5;

/// Measures the processor, with as many threads as `threads` has.
pub fn limit(threads: &Threads, mut progress: impl FnMut(f64)) -> Limit {
    let pool = threads.pool();
    let parts = SETS.len() + 1;
    let f32_macs = peak(&pool);
    progress(1.0 / parts as f64);
    let mut bandwidth = Vec::new();
    for set in SETS {
        bandwidth.push((set, traffic(&pool, set)));
        progress((bandwidth.len() + 1) as f64 / parts as f64);
    }
    Limit { f32_macs, f16_macs: None, bandwidth, dispatch: 0.0 }
}

/// Multiply-adds per second: the best of a sweep over independent chains.
fn peak(pool: &ThreadPool) -> f64 {
    let isa = Isa::best();
    let rate = |chains: usize| {
        let steps = (1 << 16) / chains;
        let macs = (chains * steps * lanes(isa) * pool.current_num_threads()) as f64;
        let run = |_: &mut ()| {
            black_box(busy(isa, Load::Chains(chains, black_box(steps))));
        };
        macs / best(pool, || (), run)
    };
    CHAINS.into_iter().map(rate).fold(0.0, f64::max)
}

/// Bytes per second when the threads share a working set of `set` bytes: by reading it, or by copying one half to
/// the other.
fn traffic(pool: &ThreadPool, set: u64) -> f64 {
    let isa = Isa::best();
    let scalars = set as usize / size_of::<f32>() / pool.current_num_threads();
    let memory = || vec![1f32; scalars];
    let read = |memory: &mut Vec<f32>| {
        black_box(busy(isa, Load::Read(black_box(memory))));
    };
    let copy = |memory: &mut Vec<f32>| {
        let (src, dst) = memory.split_at_mut(scalars / 2);
        dst[..src.len()].copy_from_slice(black_box(src));
        black_box(dst);
    };
    // A copy reads one half and writes the other: as many bytes as a read of both.
    set as f64 / best(pool, memory, read).min(best(pool, memory, copy))
}

/// The least seconds of one `run` on every thread at once, each with what `make` made for it.
fn best<T: Send>(pool: &ThreadPool, make: impl Fn() -> T + Sync, run: impl Fn(&mut T) + Sync) -> f64 {
    let kept: Vec<std::sync::Mutex<T>> =
        pool.broadcast(|_| make()).into_iter().map(std::sync::Mutex::new).collect();
    let time = |count: usize| {
        let begun = Instant::now();
        pool.broadcast(|context| {
            let mut own = kept[context.index()].lock().expect("each thread has its own");
            (0..count).for_each(|_| run(&mut own));
        });
        begun.elapsed().as_secs_f64()
    };
    let mut count = 1;
    while time(count) < WORTH {
        count *= 2;
    }
    (0..REPEATS).map(|_| time(count) / count as f64).fold(f64::INFINITY, f64::min)
}
