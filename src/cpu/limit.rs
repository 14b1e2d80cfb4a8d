//! What the processor can do at most: loops of multiply-adds only, and of traffic only, on all threads at once.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rayon::ThreadPool;

use super::{
    Isa, Threads,
    microkernels::{CHAINS, Load, busy, lanes},
};
use crate::limit::{Limit, SETS};

/// What is timed at once: long beside a look at the clock, short beside a slice of time that the system gives, so
/// that other programs leave some of it alone.
const WINDOW: Duration = Duration::from_micros(50);
/// How long windows are timed, of which the least counts.
const TIME: Duration = Duration::from_millis(40);
/// The most scalars that a window sweeps over.
const CHUNK: usize = 1 << 18;

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
    const STEPS: usize = 1 << 12;
    let isa = Isa::best();
    let rate = |chains: usize| {
        let macs = (chains * STEPS * lanes(isa)) as f64;
        rate(
            pool,
            || (),
            |()| {
                black_box(busy(isa, Load::Chains(chains, black_box(STEPS))));
                macs
            },
        )
    };
    CHAINS.into_iter().map(rate).fold(0.0, f64::max)
}

/// A thread's part of a working set, and where it stands in it.
struct Sweep {
    memory: Vec<f32>,
    at: usize,
}

/// Bytes per second when the threads share a working set of `set` bytes: by reading it, or by copying one half to
/// the other.
fn traffic(pool: &ThreadPool, set: u64) -> f64 {
    let isa = Isa::best();
    let scalars = set as usize / size_of::<f32>() / pool.current_num_threads();
    let memory = || Sweep { memory: vec![1.0; scalars], at: 0 };
    let bytes = |scalars: usize| (scalars * size_of::<f32>()) as f64;
    let read = |sweep: &mut Sweep| {
        let chunk = next(sweep, scalars);
        black_box(busy(isa, Load::Read(black_box(&sweep.memory[chunk.clone()]))));
        bytes(chunk.len())
    };
    let copy = |sweep: &mut Sweep| {
        let chunk = next(sweep, scalars / 2);
        let (src, dst) = sweep.memory.split_at_mut(scalars / 2);
        dst[chunk.clone()].copy_from_slice(black_box(&src[chunk.clone()]));
        black_box(dst);
        2.0 * bytes(chunk.len())
    };
    rate(pool, memory, read).max(rate(pool, memory, copy))
}

/// The next chunk of the sweep over the first `scalars`, and again from the beginning.
fn next(sweep: &mut Sweep, scalars: usize) -> std::ops::Range<usize> {
    let start = if sweep.at + CHUNK.min(scalars) > scalars { 0 } else { sweep.at };
    sweep.at = start + CHUNK.min(scalars);
    start..sweep.at
}

/// Work per second of all threads, each of which runs `run` again and again on what `make` made for it; a run gives
/// the work that it did. Of each thread the best window counts.
fn rate<T>(pool: &ThreadPool, make: impl Fn() -> T + Sync, run: impl Fn(&mut T) -> f64 + Sync) -> f64 {
    let best = |_: rayon::BroadcastContext| {
        let mut own = make();
        let begun = Instant::now();
        let mut best: f64 = 0.0;
        while best == 0.0 || begun.elapsed() < TIME {
            let start = Instant::now();
            let mut work = 0.0;
            while start.elapsed() < WINDOW {
                work += run(&mut own);
            }
            best = best.max(work / start.elapsed().as_secs_f64());
        }
        best
    };
    pool.broadcast(best).into_iter().sum()
}
