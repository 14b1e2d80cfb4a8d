//! Handles: 64-bit numbers that name a place in a table and the generation of what lies there, so that one that was
//! closed, or made up, is found out.
//!
//! From the highest bit: 8 of the kind, 32 of the generation, 24 of the place. No kind is 0, so that 0 is none.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::error::{Failure, MOBILEONE_BUSY, MOBILEONE_INTERNAL, MOBILEONE_INVALID_HANDLE, Result};

const PLACE_BITS: u32 = 24;
const KIND_SHIFT: u32 = 56;

/// What a handle is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model = 1,
    Device = 2,
    Session = 3,
    Ticket = 4,
}

impl Kind {
    fn of(handle: u64) -> Option<Kind> {
        let kinds = [Kind::Model, Kind::Device, Kind::Session, Kind::Ticket];
        kinds.into_iter().find(|&kind| kind as u64 == handle >> KIND_SHIFT)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Device => "device",
            Kind::Session => "session",
            Kind::Ticket => "ticket",
        }
    }
}

/// All that is open of one kind.
pub(crate) struct Table<T> {
    kind: Kind,
    places: Mutex<Places<T>>,
}

struct Places<T> {
    all: Vec<Place<T>>,
    free: Vec<usize>,
}

struct Place<T> {
    generation: u32,
    content: Content<T>,
}

enum Content<T> {
    Nothing,
    Here(T),
    /// Some thread works with it.
    Lent,
}

impl<T> Table<T> {
    pub(crate) const fn new(kind: Kind) -> Table<T> {
        Table { kind, places: Mutex::new(Places { all: Vec::new(), free: Vec::new() }) }
    }

    /// Gives `value` a handle.
    pub(crate) fn insert(&self, value: T) -> Result<u64> {
        let mut places = self.lock();
        let at = match places.free.pop() {
            Some(at) => at,
            None if places.all.len() < 1 << PLACE_BITS => {
                places.all.push(Place { generation: 0, content: Content::Nothing });
                places.all.len() - 1
            }
            None => return Err(Failure::new(MOBILEONE_INTERNAL, "too many handles are open: close some")),
        };
        let place = &mut places.all[at];
        place.content = Content::Here(value);
        Ok(self.handle(place.generation, at))
    }

    /// What `handle` names.
    pub(crate) fn get(&self, handle: u64) -> Result<T>
    where
        T: Clone,
    {
        self.look(handle, T::clone)
    }

    /// What `take` takes from what `handle` names.
    pub(crate) fn look<R>(&self, handle: u64, take: impl FnOnce(&T) -> R) -> Result<R> {
        let mut places = self.lock();
        match self.find(&mut places, handle)? {
            Content::Here(value) => Ok(take(value)),
            _ => Err(in_use(handle)),
        }
    }

    /// Takes what `handle` names to work with it; the handle stays open, and in use, until the loan ends.
    pub(crate) fn lend(&self, handle: u64) -> Result<Loan<'_, T>> {
        let mut places = self.lock();
        let content = self.find(&mut places, handle)?;
        match mem::replace(content, Content::Lent) {
            Content::Here(value) => Ok(Loan { table: self, handle, value: Some(value) }),
            _ => Err(in_use(handle)),
        }
    }

    /// Closes `handle`. Gives what it named, but not what is lent: that ends with the loan.
    pub(crate) fn remove(&self, handle: u64) -> Result<Option<T>> {
        let mut places = self.lock();
        let content = mem::replace(self.find(&mut places, handle)?, Content::Nothing);
        let at = place_of(handle);
        // A place whose generations are used up is never used again.
        if let Some(next) = places.all[at].generation.checked_add(1) {
            places.all[at].generation = next;
            places.free.push(at);
        }
        Ok(match content {
            Content::Here(value) => Some(value),
            _ => None,
        })
    }

    /// The handles of what `holds` is true of and that no thread works with.
    pub(crate) fn handles(&self, holds: impl Fn(&T) -> bool) -> Vec<u64> {
        let places = self.lock();
        let all = places.all.iter().enumerate();
        let wanted = all.filter(|(_, place)| matches!(&place.content, Content::Here(value) if holds(value)));
        wanted.map(|(at, place)| self.handle(place.generation, at)).collect()
    }

    fn handle(&self, generation: u32, at: usize) -> u64 {
        (self.kind as u64) << KIND_SHIFT | u64::from(generation) << PLACE_BITS | at as u64
    }

    fn find<'a>(&self, places: &'a mut Places<T>, handle: u64) -> Result<&'a mut Content<T>> {
        let refuse = |why: &str| {
            Err(Failure::new(
                MOBILEONE_INVALID_HANDLE,
                format!("{handle:#x} {why}; a {} is needed", self.kind.name()),
            ))
        };
        match Kind::of(handle) {
            Some(kind) if kind == self.kind => {}
            Some(kind) => return refuse(&format!("is of a {}", kind.name())),
            None => return refuse("is no handle"),
        }
        let generation = (handle >> PLACE_BITS) as u32;
        match places.all.get_mut(place_of(handle)) {
            Some(place) if place.generation < generation => refuse("was never given out"),
            Some(Place { content: Content::Nothing, .. }) => refuse("was closed, or never given out"),
            Some(place) if place.generation > generation => refuse("was closed"),
            Some(place) => Ok(&mut place.content),
            None => refuse("was never given out"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places<T>> {
        // Nothing in here panics half-way.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place_of(handle: u64) -> usize {
    (handle & ((1 << PLACE_BITS) - 1)) as usize
}

fn in_use(handle: u64) -> Failure {
    Failure::new(MOBILEONE_BUSY, format!("{handle:#x} is in use by another thread"))
}

/// What one thread works with. Dropped, it closes the handle, unless it was given back.
pub(crate) struct Loan<'a, T> {
    table: &'a Table<T>,
    handle: u64,
    value: Option<T>,
}

impl<T> Loan<'_, T> {
    pub(crate) fn value(&mut self) -> &mut T {
        self.value.as_mut().expect("a loan holds its value until it ends")
    }

    /// Closes the handle and keeps what it named.
    pub(crate) fn take(mut self) -> T {
        self.value.take().expect("a loan holds its value until it ends")
    }

    /// Leaves the handle open; where it was closed meanwhile, its value goes.
    pub(crate) fn give_back(mut self) {
        let value = self.value.take();
        let mut places = self.table.lock();
        if let Ok(content @ Content::Lent) = self.table.find(&mut places, self.handle)
            && let Some(value) = value
        {
            *content = Content::Here(value);
        }
        drop(places);
        mem::forget(self);
    }
}

impl<T> Drop for Loan<'_, T> {
    fn drop(&mut self) {
        // An error: it was closed meanwhile, as it is to be.
        let _ = self.table.remove(self.handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_or_made_up_handle_is_found_out() {
        let table = Table::new(Kind::Model);
        let status = |handle| table.get(handle).map_err(|failure| failure.status);
        let a = table.insert("a").unwrap();
        assert_eq!(status(a), Ok("a"));
        assert_eq!(table.remove(a).unwrap(), Some("a"));
        assert_eq!(status(a), Err(MOBILEONE_INVALID_HANDLE));
        let b = table.insert("b").unwrap();
        assert_eq!(place_of(a), place_of(b), "the place is used again");
        assert_eq!((status(a), status(b)), (Err(MOBILEONE_INVALID_HANDLE), Ok("b")));
        assert!(table.remove(a).is_err());
        let made_up = [0, 1, u64::MAX, b + 1, b + (1 << PLACE_BITS), b ^ (3 << KIND_SHIFT), b ^ (1 << 63)];
        for handle in made_up {
            assert_eq!(status(handle), Err(MOBILEONE_INVALID_HANDLE), "{handle:#x}");
        }
    }

    #[test]
    fn a_loan_is_one_threads_own_and_outlives_a_close() {
        let table = Table::new(Kind::Ticket);
        let handle = table.insert(String::from("a")).unwrap();
        let loan = table.lend(handle).unwrap();
        assert_eq!(table.lend(handle).err().unwrap().status, MOBILEONE_BUSY);
        loan.give_back();
        assert_eq!(table.get(handle).unwrap(), "a");
        // Closed while lent: what comes after has the place, and the loan does not touch it.
        let loan = table.lend(handle).unwrap();
        assert_eq!(table.remove(handle).unwrap(), None);
        let other = table.insert(String::from("b")).unwrap();
        loan.give_back();
        assert_eq!(table.get(other).unwrap(), "b");
        assert!(table.get(handle).is_err());
        drop(table.lend(other).unwrap());
        assert_eq!(table.get(other).err().unwrap().status, MOBILEONE_INVALID_HANDLE);
        let last = table.insert(String::from("c")).unwrap();
        assert_eq!(table.lend(last).unwrap().take(), "c");
        assert!(table.get(last).is_err());
    }

    #[test]
    fn a_place_without_generations_left_is_left_alone() {
        let table = Table::new(Kind::Device);
        let first = table.insert(1).unwrap();
        table.places.lock().unwrap().all[0].generation = u32::MAX;
        let last = first | u64::from(u32::MAX) << PLACE_BITS;
        assert_eq!(table.remove(last).unwrap(), Some(1));
        assert!(table.get(last).is_err());
        assert_eq!(place_of(table.insert(2).unwrap()), 1);
    }
}
