//! The processor's threads.

use std::{
    collections::BTreeSet,
    num::NonZero,
    sync::{Arc, LazyLock},
};

use rayon::ThreadPool;

use crate::error::{Error, Result};

/// Whether a program has no thread but the one that it begins with, as in a web page: that one is the pool then, and
/// runs an inference when it is submitted.
pub(super) const ALONE: bool = cfg!(all(target_arch = "wasm32", not(target_feature = "atomics")));

/// A thread is of one pool, for good: all devices of a program that has no other share this one.
static ONLY: LazyLock<Result<Arc<ThreadPool>, String>> =
    LazyLock::new(|| build(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread()));

/// The processor's threads, shared by the sessions of one device.
pub struct Threads(Arc<ThreadPool>);

impl Threads {
    /// So many threads; `None`: [`Threads::default_count`].
    ///
    /// # Errors
    /// [`Error::Device`] when the system gives none.
    pub fn new(count: Option<NonZero<usize>>) -> Result<Threads> {
        let count = count.map_or_else(Threads::default_count, NonZero::get);
        let pool = match count {
            1 if ALONE => ONLY.clone(),
            _ => build(rayon::ThreadPoolBuilder::new().num_threads(count)),
        };
        pool.map(Threads).map_err(|reason| Error::Device { wanted: "cpu".into(), reason })
    }

    /// The threads of a caller's own pool.
    pub fn of(pool: Arc<ThreadPool>) -> Threads {
        Threads(pool)
    }

    /// Threads that a new pool would have: as many as `RAYON_NUM_THREADS` says, else one per core that this
    /// process may use. Two threads of one core share its arithmetic, so they count once where that can be seen.
    pub fn default_count() -> usize {
        let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
        let there = || std::thread::available_parallelism().map_or(1, NonZero::get);
        asked.filter(|&count| count > 0).unwrap_or_else(|| there().min(cores().unwrap_or(usize::MAX)))
    }

    /// Threads of this pool.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    pub(super) fn pool(&self) -> Arc<ThreadPool> {
        self.0.clone()
    }
}

fn build(builder: rayon::ThreadPoolBuilder) -> Result<Arc<ThreadPool>, String> {
    builder.build().map(Arc::new).map_err(|error| error.to_string())
}

/// Cores that this process may use, as Linux names the threads that share one.
fn cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let siblings = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok() // a CPU that is offline has none
    };
    let cores: BTreeSet<String> = cpus(allowed).into_iter().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}

/// The CPUs of a list like `0-3,8`; what is not a CPU or a range of them is passed over.
fn cpus(list: &str) -> Vec<usize> {
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for (list, expected) in [
            ("0", &[0][..]),
            ("\t0-3\n", &[0, 1, 2, 3]),
            ("0,2,4-5,63", &[0, 2, 4, 5, 63]),
            ("7-7", &[7]),
            ("3-1", &[]),
            ("", &[]),
            ("x,1,2-,-3,4", &[1, 4]),
        ] {
            assert_eq!(cpus(list), expected, "{list:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn cores_are_no_more_than_cpus() {
        let cores = cores().expect("Linux says which CPUs share a core");
        assert!((1..=std::thread::available_parallelism().unwrap().get()).contains(&cores), "{cores}");
    }
}
