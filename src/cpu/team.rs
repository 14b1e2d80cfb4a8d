//! Threads that stay together for one frame: they are woken once and then take one step after the other, where a
//! fork and a join per step would cost as much as a small step.

#![allow(unsafe_code)]

use std::{
    hint::spin_loop,
    marker::PhantomData,
    mem,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering::*},
    },
};

use rayon::ThreadPool;

use super::microkernels::BLOCK;

/// Looks at what another thread is about to write before a thread goes to sleep: some tens of microseconds.
const LOOKS: usize = 1000;

/// What each member of a team does in a step; it is given the member's number.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Where the leader hangs out what is to be done; it stays for the next frame.
#[derive(Default)]
pub struct Board {
    notice: Mutex<Notice>,
    /// Notices so far, to look at without the lock.
    count: AtomicUsize,
    /// Helpers at work.
    busy: AtomicUsize,
    /// Whether the leader sleeps until nobody is busy.
    leader_sleeps: AtomicBool,
    /// Whether a helper's work panicked.
    panicked: AtomicBool,
    posted: Condvar,
    finished: Condvar,
}

#[derive(Default)]
struct Notice {
    work: Option<Work<'static>>,
    over: bool,
    sleeping: usize,
    /// Members, by number, who have been called and have not gone home.
    called: Vec<bool>,
}

impl Board {
    fn notice(&self) -> MutexGuard<'_, Notice> {
        self.notice.lock().expect("no panic under the lock")
    }

    fn post(&self, work: Option<Work<'static>>, over: bool) {
        let mut notice = self.notice();
        (notice.work, notice.over) = (work, over);
        self.count.fetch_add(1, Release);
        if notice.sleeping > 0 {
            self.posted.notify_all();
        }
    }

    /// Works until the frame is over.
    fn help(&self, member: usize) {
        let mut seen = 0;
        loop {
            let mut looks = 0;
            while self.count.load(Acquire) == seen && looks < LOOKS {
                looks += 1;
                spin_loop();
            }
            let mut notice = self.notice();
            while self.count.load(Acquire) == seen && !notice.over {
                notice.sleeping += 1;
                notice = self.posted.wait(notice).expect("no panic under the lock");
                notice.sleeping -= 1;
            }
            seen = self.count.load(Acquire);
            if notice.over {
                notice.called[member] = false;
                return;
            }
            let Some(work) = notice.work else { continue };
            self.busy.fetch_add(1, Relaxed); // under the lock, as the leader's look after it takes the work away
            drop(notice);
            let outcome = catch_unwind(AssertUnwindSafe(|| work(member)));
            self.panicked.fetch_or(outcome.is_err(), Relaxed);
            if self.busy.fetch_sub(1, SeqCst) == 1 && self.leader_sleeps.load(SeqCst) {
                let _notice = self.notice();
                self.finished.notify_all();
            }
        }
    }

    /// Waits until no helper is busy.
    fn wait(&self) {
        for _ in 0..LOOKS {
            if self.busy.load(Acquire) == 0 {
                return;
            }
            spin_loop();
        }
        let mut notice = self.notice();
        self.leader_sleeps.store(true, SeqCst);
        while self.busy.load(SeqCst) > 0 {
            notice = self.finished.wait(notice).expect("no panic under the lock");
        }
        self.leader_sleeps.store(false, SeqCst);
    }
}

/// Takes the work down and waits for those who are at it, even when the leader panics.
struct Down<'a>(&'a Board);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.notice().work = None;
        self.0.wait();
    }
}

/// Sends the helpers home, even when the leader panics.
struct Over<'a>(&'a Board);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.post(None, true);
    }
}

/// The threads of one frame, as its leader sees them.
pub struct Team<'a> {
    board: &'a Board,
    /// The leader and the helpers.
    pub members: usize,
}

impl Team<'_> {
    /// Has every member that is free do `work`, the leader first among them, and returns when all are done. A
    /// member that is busy elsewhere is not waited for: `work` must share itself out.
    pub fn run(&self, work: Work) {
        if self.members == 1 {
            return work(0);
        }
        // SAFETY: only the lifetime changes. A helper takes `work` under the lock and is counted as busy before
        // it lets go; `Down` takes `work` away under the lock and then waits for all who are busy, before this
        // function returns or unwinds. So nobody has `work` after its lifetime.
        let lasting = unsafe { mem::transmute::<Work<'_>, Work<'static>>(work) };
        let down = Down(self.board);
        self.board.post(Some(lasting), false);
        work(0);
        drop(down);
        assert!(!self.board.panicked.load(Relaxed), "a helper panicked");
    }
}

/// Runs `lead` on this thread, with a team of as many members as `pool` has threads. Helpers that come when all
/// is over, because they had other things to do, are not waited for: they stay called, and help with whatever frame
/// of `board` there is then. A board is for one frame at a time.
pub fn lead<R>(pool: &ThreadPool, board: &Arc<Board>, lead: impl FnOnce(&Team) -> R) -> R {
    let members = pool.current_num_threads();
    let _over = Over(board);
    let mut notice = board.notice();
    notice.over = false;
    notice.called.resize(members, false);
    for member in 1..members {
        if !mem::replace(&mut notice.called[member], true) {
            let board = board.clone();
            pool.spawn(move || board.help(member));
        }
    }
    drop(notice);
    lead(&Team { board, members })
}

/// A map `[blocks][pixels][16]` that several threads fill, cut into rectangles each of which is handed out once.
pub struct Grid<'a> {
    start: *mut f32,
    blocks: usize,
    pixels: usize,
    cut: Cut,
    /// Rectangles, and how many of each share have been handed out.
    count: usize,
    next: [AtomicUsize; SHARES],
    shares: usize,
    map: PhantomData<&'a mut [f32]>,
}

/// The most parts into which a grid's rectangles are dealt out.
const SHARES: usize = 16;

/// The most blocks and pixels of one rectangle.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub blocks: usize,
    pub pixels: usize,
}

// SAFETY: threads get disjoint rectangles of the map, as from a slice that is split.
unsafe impl Sync for Grid<'_> {}

impl<'a> Grid<'a> {
    /// # Panics
    /// When `map` is not `[blocks][pixels][16]`, or the cut is nothing.
    pub fn new(map: &'a mut [f32], pixels: usize, cut: Cut, team: &Team) -> Grid<'a> {
        let blocks = map.len() / (pixels * BLOCK);
        assert!(map.len() == blocks * pixels * BLOCK && cut.blocks > 0 && cut.pixels > 0);
        let count = blocks.div_ceil(cut.blocks) * pixels.div_ceil(cut.pixels);
        let (start, shares) = (map.as_mut_ptr(), team.members.min(SHARES));
        Grid { start, blocks, pixels, cut, count, next: Default::default(), shares, map: PhantomData }
    }

    /// The next rectangle for `member`, until all have been handed out. Each has a share of its own, the same part
    /// of every map, which its core's cache may still hold; who is done helps the others.
    pub fn take(&self, member: usize) -> Option<Rect<'_>> {
        let at = (0..self.shares).find_map(|other| {
            let share = (member + other) % self.shares;
            let (first, end) = (share * self.count / self.shares, (share + 1) * self.count / self.shares);
            let at = first + self.next[share].fetch_add(1, Relaxed);
            (at < end).then_some(at)
        })?;
        let down = self.blocks.div_ceil(self.cut.blocks);
        let (block, pixel) = (at % down * self.cut.blocks, at / down * self.cut.pixels);
        let blocks = block..(block + self.cut.blocks).min(self.blocks);
        let pixels = pixel..(pixel + self.cut.pixels).min(self.pixels);
        Some(Rect { start: self.start, width: self.pixels, blocks, pixels, map: PhantomData })
    }
}

/// Some pixels of some blocks, to write to.
pub struct Rect<'a> {
    start: *mut f32,
    width: usize,
    pub blocks: Range<usize>,
    pub pixels: Range<usize>,
    map: PhantomData<&'a mut [f32]>,
}

impl Rect<'_> {
    /// The rectangle's pixels of block `block`, `[pixels][16]`.
    ///
    /// # Panics
    /// When the rectangle does not have the block.
    pub fn block(&mut self, block: usize) -> &mut [f32] {
        let [block] = self.some(block);
        block
    }

    /// The rectangle's pixels of `N` blocks from `first` on.
    ///
    /// # Panics
    /// When the rectangle does not have them all.
    pub fn some<const N: usize>(&mut self, first: usize) -> [&mut [f32]; N] {
        assert!(self.blocks.start <= first && first + N <= self.blocks.end);
        std::array::from_fn(|at| {
            let offset = ((first + at) * self.width + self.pixels.start) * BLOCK;
            // SAFETY: the block and the pixels lie within the map, which is borrowed mutably as long as its Grid
            // lives; no other rectangle has them, for the shares are disjoint and none gives a number twice; and
            // the blocks of one call differ, while the next call needs the borrow of `self` back.
            unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), self.pixels.len() * BLOCK) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Barrier, time::Duration};

    fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    }

    #[test]
    fn every_scalar_is_handed_out_once() {
        for threads in [1, 2, 3, 8] {
            let (pool, board) = (pool(threads), Arc::default());
            for (blocks, pixels, cut) in [(1, 1, (1, 1)), (5, 7, (2, 3)), (3, 100, (9, 7)), (40, 2, (1, 9))] {
                let mut map = vec![0.0; blocks * pixels * BLOCK];
                lead(&pool, &board, |team| {
                    for _ in 0..50 {
                        let cut = Cut { blocks: cut.0, pixels: cut.1 };
                        let grid = Grid::new(&mut map, pixels, cut, team);
                        team.run(&|member| {
                            while let Some(mut rect) = grid.take(member) {
                                for block in rect.blocks.clone() {
                                    rect.block(block).iter_mut().for_each(|x| *x += 1.0);
                                }
                            }
                        });
                    }
                });
                assert!(map.iter().all(|&x| x == 50.0), "{threads} threads, {blocks} x {pixels} by {cut:?}");
            }
        }
    }

    #[test]
    fn a_pool_that_is_busy_is_not_waited_for() {
        let pool = pool(2);
        let barrier = std::sync::Arc::new(Barrier::new(3));
        for _ in 0..2 {
            let barrier = barrier.clone();
            pool.spawn(move || {
                barrier.wait();
            });
        }
        let board = Arc::<Board>::default();
        for _ in 0..5 {
            let count = AtomicUsize::new(0);
            lead(&pool, &board, |team| {
                team.run(&|_| {
                    count.fetch_add(1, Relaxed);
                })
            });
            assert_eq!(count.into_inner(), 1);
            assert_eq!(Arc::strong_count(&board), 2, "the helper is called once");
        }
        barrier.wait();
        // The pool is free again, and the helper helps.
        let met = Barrier::new(2);
        lead(&pool, &board, |team| {
            team.run(&|_| {
                met.wait();
            })
        });
    }

    #[test]
    fn a_panic_of_any_member_reaches_the_leader() {
        for who in [0, 1] {
            let outcome = catch_unwind(|| {
                lead(&pool(2), &Arc::default(), |team| {
                    let met = Barrier::new(2);
                    team.run(&|member| {
                        met.wait();
                        assert_ne!(member, who, "as it should");
                        std::thread::sleep(Duration::from_millis(5)); // the leader goes to sleep, and wakes up
                    });
                });
            });
            assert!(outcome.is_err(), "member {who}");
        }
    }
}
