//! Pipelines that a device keeps for its next sessions: of the same model again, or of one with the same layers.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

/// Texts whose pipelines stay; a network has about 20 to 40. Those that were wanted last do.
const MOST: usize = 128;

/// What makes two pipelines the same.
#[derive(Clone, PartialEq)]
pub struct Key {
    /// The specialised text.
    pub text: String,
    /// What is bound to it, by number.
    pub bindings: Vec<(u32, wgpu::BufferBindingType)>,
    /// Whether it checks its indices and loops as it runs.
    pub checked: bool,
}

/// Pipelines by what they are made of, those wanted last behind.
pub struct Kept<T>(Mutex<VecDeque<(Key, T)>>);

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    fn all(&self) -> MutexGuard<'_, VecDeque<(Key, T)>> {
        self.0.lock().expect("no panic while pipelines are kept")
    }

    /// The one of `key`, if it is there.
    pub fn get(&self, key: &Key) -> Option<T> {
        let mut all = self.all();
        let at = all.iter().position(|(known, _)| known == key)?;
        let found = all.remove(at)?;
        let pipeline = found.1.clone();
        all.push_back(found);
        Some(pipeline)
    }

    /// Keeps one, instead of the one that has not been wanted for longest where there are too many.
    pub fn keep(&self, key: Key, pipeline: T) {
        let mut all = self.all();
        // Two sessions that are made at once may both have made it.
        all.retain(|(known, _)| *known != key);
        if all.len() == MOST {
            all.pop_front();
        }
        all.push_back((key, pipeline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_wanted_last_stay() {
        let key = |at: usize| Key { text: at.to_string(), bindings: Vec::new(), checked: false };
        let kept = Kept::default();
        (0..MOST).for_each(|at| kept.keep(key(at), at));
        assert_eq!((kept.get(&key(0)), kept.get(&key(MOST))), (Some(0), None));
        assert_eq!(kept.get(&Key { checked: true, ..key(0) }), None);
        kept.keep(key(0), 7);
        kept.keep(key(MOST), MOST);
        assert_eq!((kept.get(&key(0)), kept.get(&key(1)), kept.get(&key(2))), (Some(7), None, Some(2)));
        assert_eq!(kept.all().len(), MOST);
    }
}
