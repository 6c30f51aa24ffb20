//! Which logs and stores there are, who folds what into which, and how a reader sees all of it; what is hot is in `log`.

use std::sync::Arc as SharedArc;

use crossbeam_utils::CachePadded;

use super::log::{COUNTER_SLOTS, Entry, Log};
use super::series::{SeriesId, Shape};
use super::store::{Rank, Store, Tally};
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Arc, Mutex};

/// How many stores there can be, on however many processors.
const STORES_MAX: usize = if cfg!(heartline_loom) { 2 } else { 8 };
/// How often threads must have waited before another store is opened.
const COLLISIONS_PER_STORE: usize = if cfg!(heartline_loom) { 1 } else { 16 };
/// Maintenance rounds without a collision after which further stores are emptied into the first.
const QUIET_ROUNDS: usize = if cfg!(heartline_loom) { 1 } else { 10 };
/// Series whose handles are gone, before their ids are made free without waiting for maintenance.
const RETIRED_MAX: usize = 1_024;
/// Logs of ended threads that are kept for new threads.
const PARTED_KEPT: usize = if cfg!(heartline_loom) { 0 } else { 2 };

/// Logs, stores and the directory of series.
#[derive(Debug)]
pub(crate) struct Recorder {
    logs: Mutex<Logs>,
    stores: [CachePadded<Mutex<Store>>; STORES_MAX],
    /// How many stores threads fold into, and how many they may: more than can run at once, so that a thread that is
    /// interrupted while it folds stops nobody.
    open: AtomicUsize,
    open_max: usize,
    collisions: AtomicUsize,
    directory: Mutex<Directory>,
    reading: Mutex<Reader>,
}

#[derive(Debug)]
struct Logs {
    all: Vec<Arc<Log>>,
    /// Those of `all` whose thread has ended; they may hold entries, and the next thread goes on with them.
    parted: Vec<Arc<Log>>,
    /// Counter places that no counter has.
    free_slots: Vec<usize>,
    /// By place, what logs held that are no more.
    kept: [u64; COUNTER_SLOTS],
}

#[derive(Debug, Default)]
struct Directory {
    shapes: Vec<Option<SharedArc<Shape>>>,
    free: Vec<SeriesId>,
    retired: Vec<SeriesId>,
}

/// What only one reader at a time uses.
#[derive(Debug, Default)]
struct Reader {
    tally: Tally,
    collisions_seen: usize,
    quiet_rounds: usize,
}

/// All series as of one moment or later: everything recorded before it began is in it.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    recorder: &'a Recorder,
    reader: Guard<'a, Reader>,
    /// Which stores have had values when the logs had been drained.
    used: [bool; STORES_MAX],
}

#[cfg(heartline_loom)]
type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;
#[cfg(not(heartline_loom))]
type Guard<'a, T> = parking_lot::MutexGuard<'a, T>;

impl Recorder {
    /// A recorder for a machine that runs so many threads at once.
    pub(crate) fn new(parallelism: usize) -> Self {
        let rank = |index| if index == 0 { Rank::First } else { Rank::Further };
        let logs = Logs {
            all: Vec::new(),
            parted: Vec::new(),
            free_slots: (0..COUNTER_SLOTS).rev().collect(),
            kept: [0; COUNTER_SLOTS],
        };
        Self {
            logs: Mutex::new(logs),
            stores: std::array::from_fn(|index| CachePadded::new(Mutex::new(Store::new(rank(index))))),
            open: AtomicUsize::new(1),
            open_max: (parallelism + 1).min(STORES_MAX),
            collisions: AtomicUsize::new(0),
            directory: Mutex::new(Directory { shapes: vec![None], ..Directory::default() }),
            reading: Mutex::new(Reader::default()),
        }
    }

    /// A log for the calling thread: one that an ended thread left, else a new one.
    pub(super) fn attach(&self) -> Arc<Log> {
        let mut logs = self.logs.lock();
        if let Some(log) = logs.parted.pop() {
            return log;
        }
        let log = Arc::new(Log::new());
        logs.all.push(Arc::clone(&log));
        log
    }

    /// The thread of `log` ends; what it holds stays there for the reader or the next thread.
    pub(super) fn part(&self, log: Arc<Log>) {
        self.logs.lock().parted.push(log);
    }

    /// Makes room in a log whose owner found none. Waits only if both its blocks are full and every store is taken.
    pub(super) fn make_room(&self, log: &Log) {
        let open = self.open.load(Ordering::Relaxed);
        if log.make_room(|entries| self.fold_if_free(log, open, entries)) {
            return;
        }
        let collisions = self.collisions.fetch_add(1, Ordering::Relaxed) + 1;
        if collisions.is_multiple_of(COLLISIONS_PER_STORE) && open < self.open_max {
            // where another thread opens one at the same moment, one more is enough
            let _ = self.open.compare_exchange(open, open + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        if !log.make_room(|entries| self.fold_if_free(log, self.open_max, entries)) {
            log.make_room_waiting(|entries| self.fold(self.stores[log.home() % open].lock(), &entries));
        }
    }

    /// Folds into the log's own store or one of the first `stores` that is free now. Threads that collide thus move apart
    /// and stay so, as far as stores are open.
    fn fold_if_free<E: Entry>(&self, log: &Log, stores: usize, entries: [&[E]; 2]) -> bool {
        let home = log.home();
        for index in (home..home + stores).map(|index| index % stores) {
            if let Some(store) = self.stores[index].try_lock() {
                if index < self.open.load(Ordering::Relaxed) {
                    log.set_home(index);
                }
                self.fold(store, &entries);
                return true;
            }
        }
        false
    }

    /// Folds into a store, and what it refuses into the first one.
    fn fold<E: Entry>(&self, mut store: Guard<'_, Store>, entries: &[&[E]]) {
        let refused = entries.iter().map(|entries| store.fold(entries, |series| self.shape(series)));
        let refused: Vec<Vec<u64>> = refused.filter(|refused| !refused.is_empty()).collect();
        drop(store);
        for refused in refused {
            let none = self.stores[0].lock().fold(&refused, |series| self.shape(series));
            debug_assert!(none.is_empty(), "the first store has room for all");
        }
    }

    /// Records without a log: for values that no entry holds, and for threads whose thread-locals are gone.
    #[cold]
    pub(super) fn record_directly(&self, series: SeriesId, value: u64) {
        self.stores[0].lock().add(series, value, |series| self.shape(series));
    }

    /// A new series.
    pub(crate) fn register(&self, shape: &SharedArc<Shape>) -> SeriesId {
        let mut directory = self.directory.lock();
        let series = directory.free.pop().unwrap_or_else(|| SeriesId::from_index(directory.shapes.len()));
        if series == SeriesId::SINK {
            return series;
        }
        if directory.shapes.len() <= series.index() {
            directory.shapes.push(None);
        }
        directory.shapes[series.index()] = Some(SharedArc::clone(shape));
        series
    }

    /// The last handle of a series is gone.
    pub(crate) fn retire(&self, series: SeriesId) {
        if series == SeriesId::SINK {
            return;
        }
        let waiting = {
            let mut directory = self.directory.lock();
            directory.retired.push(series);
            directory.retired.len()
        };
        if waiting >= RETIRED_MAX {
            self.read().reclaim();
        }
    }

    /// The fault that the model of ids must find: they are free although logs and stores still know them.
    #[cfg(all(test, heartline_loom))]
    pub(super) fn reclaim_with_planted_fault(&self) {
        let mut directory = self.directory.lock();
        let retired = std::mem::take(&mut directory.retired);
        directory.free.extend(retired);
    }

    /// As many stores as there may be, as if threads had collided often.
    #[cfg(all(test, heartline_loom))]
    pub(super) fn open_all(&self) {
        self.open.store(self.open_max, Ordering::Relaxed);
    }

    fn shape(&self, series: SeriesId) -> Option<SharedArc<Shape>> {
        self.directory.lock().shapes.get(series.index()).cloned().flatten()
    }

    /// Begins to read: everything recorded until now will be seen. Waits for another reader, and for a thread that folds a
    /// block; nobody waits for the reader longer than it copies or folds one.
    pub(crate) fn read(&self) -> Reading<'_> {
        let mut reading = Reading { recorder: self, reader: self.reading.lock(), used: [true; STORES_MAX] };
        reading.drain();
        reading
    }

    /// A place for a counter in every log, if there is one left.
    pub(crate) fn take_slot(&self) -> Option<usize> {
        self.logs.lock().free_slots.pop()
    }

    /// Gives a counter's place back; the counter has no handle any more.
    pub(crate) fn release_slot(&self, slot: usize) {
        let mut logs = self.logs.lock();
        logs.all.iter().for_each(|log| log.clear(slot));
        logs.kept[slot] = 0;
        logs.free_slots.push(slot);
    }

    /// What all threads added to a counter's place.
    pub(crate) fn slot_sum(&self, slot: usize) -> u64 {
        let logs = self.logs.lock();
        let added = logs.all.iter().map(|log| log.added(slot));
        added.fold(logs.kept[slot], u64::wrapping_add)
    }

    /// Bytes that no agent's budget counts: logs, what stores have ready, and where static labels are known from.
    pub(crate) fn spare_bytes(&self) -> usize {
        let logs = self.logs.lock().all.len() * size_of::<Log>();
        let stores: usize = self.stores.iter().map(|store| store.lock().spare_bytes()).sum();
        logs + stores + Tally::BYTES + super::recent::bytes()
    }
}

impl Reading<'_> {
    /// The values of one series.
    pub(crate) fn histogram(&mut self, series: SeriesId) -> heartline_shared::Histogram {
        let used = || self.recorder.stores.iter().zip(self.used).filter(|(_, used)| *used).map(|(store, _)| store);
        let mut stores = used();
        if let (Some(only), None) = (stores.next(), stores.next())
            && let Some(histogram) = only.lock().read_alone(series)
        {
            return histogram;
        }
        let tally = &mut self.reader.tally;
        tally.clear();
        for store in used() {
            store.lock().read(series, tally);
        }
        tally.histogram()
    }

    /// What is due about once a second: gives back memory of ended threads, gone series and calm stores, and has memory
    /// ready, so that recording seldom allocates.
    pub(crate) fn maintain(&mut self) {
        self.reclaim();
        self.trim_logs();
        self.calm_down();
        for store in self.recorder.stores.iter().take(self.recorder.open.load(Ordering::Relaxed)) {
            store.lock().stock();
        }
    }

    /// Makes the ids of gone series free. Their last entries were drained when this reading began or are drained now.
    fn reclaim(&mut self) {
        let retired = std::mem::take(&mut self.recorder.directory.lock().retired);
        if retired.is_empty() {
            return;
        }
        self.drain();
        for store in &self.recorder.stores {
            let mut store = store.lock();
            for &series in &retired {
                store.clear(series);
            }
        }
        let mut directory = self.recorder.directory.lock();
        for series in retired {
            directory.shapes[series.index()] = None;
            directory.free.push(series);
        }
    }

    fn drain(&mut self) {
        let logs = self.recorder.logs.lock().all.clone();
        for log in &logs {
            self.drain_log(log);
        }
        // only now: what was in a log a moment ago may have been folded into a store that was empty then
        self.used = std::array::from_fn(|store| self.recorder.stores[store].lock().series_end() > 0);
    }

    fn drain_log(&self, log: &Log) {
        let first = &self.recorder.stores[0];
        log.drain(|entries| self.recorder.fold(first.lock(), &[entries]));
    }

    /// Drops logs of ended threads, but for a few that new threads get.
    fn trim_logs(&mut self) {
        while let Some(log) = self.forget_parted_log() {
            self.drain_log(&log);
        }
    }

    /// Takes a log off the lists; what counters have in it is kept.
    fn forget_parted_log(&self) -> Option<Arc<Log>> {
        let mut logs = self.recorder.logs.lock();
        let logs = &mut *logs;
        if logs.parted.len() <= PARTED_KEPT {
            return None;
        }
        let log = logs.parted.pop()?;
        logs.all.retain(|other| !Arc::ptr_eq(other, &log));
        logs.kept.iter_mut().enumerate().for_each(|(slot, kept)| *kept = kept.wrapping_add(log.added(slot)));
        Some(log)
    }

    /// Empties further stores into the first one when threads have not collided for a while.
    fn calm_down(&mut self) {
        let recorder = self.recorder;
        let collisions = recorder.collisions.load(Ordering::Relaxed);
        let quiet = collisions == self.reader.collisions_seen;
        self.reader.collisions_seen = collisions;
        self.reader.quiet_rounds = if quiet { self.reader.quiet_rounds + 1 } else { 0 };
        if self.reader.quiet_rounds >= QUIET_ROUNDS {
            self.reader.quiet_rounds = 0;
            recorder.open.store(1, Ordering::Relaxed);
            recorder.stores[1..].iter().for_each(|store| self.empty(store));
        }
    }

    /// Moves every series of a further store to the first one. Readers do not see a series in between: this is one.
    fn empty(&mut self, further: &Mutex<Store>) {
        let series_end = further.lock().series_end();
        for series in (0..series_end).map(SeriesId::from_index) {
            let tally = &mut self.reader.tally;
            tally.clear();
            let mut store = further.lock();
            let Some(shape) = store.read(series, tally).cloned() else { continue };
            if shape.budget.is_short() {
                // a series stays where it has memory
                continue;
            }
            store.clear(series);
            drop(store);
            self.recorder.stores[0].lock().add_tally(series, tally, &shape);
        }
        let mut store = further.lock();
        if store.is_empty() {
            *store = Store::new(Rank::Further);
        }
    }

    /// The fault that the model of stores must find: what is folded between reading a series and clearing it is lost.
    #[cfg(all(test, heartline_loom))]
    pub(super) fn empty_with_planted_fault(&mut self, series: SeriesId) {
        for further in &self.recorder.stores[1..] {
            let tally = &mut self.reader.tally;
            tally.clear();
            let Some(shape) = further.lock().read(series, tally).cloned() else { continue };
            further.lock().clear(series);
            self.recorder.stores[0].lock().add_tally(series, tally, &shape);
        }
    }
}

#[cfg(all(test, not(heartline_loom)))]
mod tests {
    use heartline_shared::{Grid, GridKind};

    use super::super::budget::Budget;
    use super::*;

    #[test]
    fn buckets_stay_as_they_were_read_when_memory_gets_short_while_a_store_is_emptied() {
        let budget = SharedArc::new(Budget::new(1 << 10));
        let shape = SharedArc::new(Shape { grid: Grid::of(GridKind::Duration), budget: SharedArc::clone(&budget) });
        let recorder = Recorder::new(1);
        let series = recorder.register(&shape);
        // each has room where it is; together they reach from one end of the grid to the other, which takes two kilobytes
        for (store, nanos) in [(0, 2_000), (1, 900_000_000_000)] {
            recorder.stores[store].lock().add(series, nanos, |series| recorder.shape(series));
        }
        let before = recorder.read().histogram(series);
        assert_eq!((before.count, before.buckets.len(), budget.is_short()), (2, 2, false));
        recorder.read().empty(&recorder.stores[1]);
        assert!(budget.is_short() && recorder.stores[1].lock().is_empty());
        assert_eq!(recorder.read().histogram(series), before);
    }
}
