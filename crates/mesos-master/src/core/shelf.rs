//! A sorted map whose readers are shown all of it at little cost, however large it is: its entries stand on
//! boards of some dozens, and what readers were shown of a board serves again as long as nothing on it
//! changes. So a copy for them costs as much as has changed since the last, and a pointer for each board.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Entries of a board at most; a full one becomes two. A change makes readers' copy of so many anew.
const LARGEST_BOARD: usize = 96;

/// Two neighbours that have no more entries than this together become one.
const SMALLEST_BOARDS: usize = LARGEST_BOARD / 2;

/// A value of which readers are shown a part.
pub(super) trait Shown {
    type View: Clone + fmt::Debug;

    /// The part; another object after each change.
    fn view(&self) -> Arc<Self::View>;
}

/// What readers are shown of a board, or of another part of a long list.
pub type Part<T> = Arc<[Arc<T>]>;

/// Items of all parts.
pub type Items<'a, T> = std::iter::FlatMap<
    std::slice::Iter<'a, Part<T>>,
    std::slice::Iter<'a, Arc<T>>,
    fn(&'a Part<T>) -> std::slice::Iter<'a, Arc<T>>,
>;

/// A long list in parts. What did not change is the same part as before.
pub struct Parts<T> {
    parts: Vec<Part<T>>,
    len: usize,
}

impl<T> Parts<T> {
    /// The parts; none is empty.
    #[must_use]
    pub fn parts(&self) -> &[Part<T>] {
        &self.parts
    }

    /// Items of all parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All items, in order.
    pub fn iter(&self) -> Items<'_, T> {
        self.into_iter()
    }
}

impl<T> Clone for Parts<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), len: self.len }
    }
}

impl<T: fmt::Debug> fmt::Debug for Parts<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self).finish()
    }
}

impl<T> std::ops::Index<usize> for Parts<T> {
    type Output = Arc<T>;

    fn index(&self, mut at: usize) -> &Arc<T> {
        for part in &self.parts {
            match part.get(at) {
                Some(item) => return item,
                None => at -= part.len(),
            }
        }
        panic!("{at} beyond the end of {} items", self.len)
    }
}

impl<'a, T> IntoIterator for &'a Parts<T> {
    type Item = &'a Arc<T>;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.parts.iter().flat_map(|part| part.iter())
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Shelf<K, V: Shown> {
    /// In order; none is empty.
    boards: Vec<Board<K, V>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Board<K, V: Shown> {
    /// In order.
    entries: Vec<(K, V)>,
    shown: OnceLock<Part<V::View>>,
}

impl<K, V: Shown> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { boards: Vec::new(), len: 0 }
    }
}

impl<K: Ord, V: Shown> Board<K, V> {
    fn new(entries: Vec<(K, V)>) -> Self {
        Self { entries, shown: OnceLock::new() }
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// For a change: what readers were shown is taken back.
    fn open(&mut self) -> &mut Vec<(K, V)> {
        self.shown.take();
        &mut self.entries
    }

    fn part(&self) -> Part<V::View> {
        let made = || self.entries.iter().map(|(_, value)| value.view()).collect();
        Arc::clone(self.shown.get_or_init(made))
    }
}

impl<K: Ord, V: Shown> Shelf<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let board = self.boards.get(self.board_of(key))?;
        board.place(key).ok().map(|at| &board.entries[at].1)
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// For a change.
    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.board_of(key);
        let board = self.boards.get_mut(at)?;
        let place = board.place(key).ok()?;
        Some(&mut board.open()[place].1)
    }

    /// Puts a value in the place of another with its key, which is returned.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.board_of(&key);
        let Some(board) = self.boards.get_mut(at) else {
            self.boards.push(Board::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        match board.place(&key) {
            Ok(place) => Some(std::mem::replace(&mut board.open()[place].1, value)),
            Err(place) => {
                let entries = board.open();
                entries.insert(place, (key, value));
                self.len += 1;
                if entries.len() > LARGEST_BOARD {
                    // Keys often grow: then the first one stays full.
                    let last = place + 1 == entries.len();
                    let cut = if last { LARGEST_BOARD } else { LARGEST_BOARD / 2 };
                    let rest = entries.split_off(cut);
                    self.boards.insert(at + 1, Board::new(rest));
                }
                None
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.board_of(key);
        let board = self.boards.get_mut(at)?;
        let place = board.place(key).ok()?;
        let (_, value) = board.open().remove(place);
        self.len -= 1;
        self.tidy(at);
        Some(value)
    }

    /// After something was taken from this board.
    fn tidy(&mut self, at: usize) {
        if self.boards[at].entries.is_empty() {
            self.boards.remove(at);
            return;
        }
        let size = |at: usize| self.boards.get(at).map(|board| board.entries.len());
        let own = self.boards[at].entries.len();
        let small = |other: Option<usize>| other.is_some_and(|size| size + own <= SMALLEST_BOARDS);
        let first = if small(size(at + 1)) {
            at
        } else if at > 0 && small(size(at - 1)) {
            at - 1
        } else {
            return;
        };
        let mut next = self.boards.remove(first + 1);
        self.boards[first].open().append(&mut next.entries);
    }

    /// The board where this key is or would be: the last that does not begin after it.
    fn board_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        let after = self.boards.partition_point(|board| board.entries[0].0.borrow() <= key);
        after.saturating_sub(1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.boards.iter().flat_map(|board| board.entries.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// What readers are shown now.
    pub(super) fn parts(&self) -> Parts<V::View> {
        Parts { parts: self.boards.iter().map(Board::part).collect(), len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Number(Arc<u32>);

    impl Shown for Number {
        type View = u32;

        fn view(&self) -> Arc<u32> {
            Arc::clone(&self.0)
        }
    }

    fn shelf(numbers: impl IntoIterator<Item = u32>) -> Shelf<u32, Number> {
        let mut shelf = Shelf::default();
        for number in numbers {
            assert!(shelf.insert(number, Number(Arc::new(number))).is_none());
        }
        shelf
    }

    fn shown(parts: &Parts<u32>) -> Vec<u32> {
        parts.iter().map(|number| **number).collect()
    }

    /// How many parts are not among the earlier ones.
    fn new(earlier: &Parts<u32>, parts: &Parts<u32>) -> usize {
        let known = |part: &&Part<u32>| earlier.parts().iter().any(|old| Arc::ptr_eq(old, part));
        parts.parts().iter().filter(|part| !known(part)).count()
    }

    #[test]
    fn what_did_not_change_is_the_same_part() {
        let mut shelf = shelf(0..10_000);
        let first = shelf.parts();
        assert_eq!(first.parts().len(), 10_000_usize.div_ceil(LARGEST_BOARD));
        assert_eq!(new(&first, &shelf.parts()), 0);
        shelf.get_mut(&5000).unwrap().0 = Arc::new(7);
        let second = shelf.parts();
        assert_eq!(new(&first, &second), 1);
        assert_eq!((*first[5000], *second[5000]), (5000, 7));
        shelf.remove(&100).unwrap();
        shelf.insert(20_000, Number(Arc::new(1)));
        assert_eq!(new(&second, &shelf.parts()), 2);
        // Looking changes nothing.
        assert!(shelf.get(&3000).is_some() && !shelf.contains_key(&100));
        assert_eq!(new(&second, &shelf.parts()), 2);
        assert_eq!(shown(&first), (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn boards_that_become_small_are_joined() {
        let mut shelf = shelf((0..10_000).rev());
        for number in (0..10_000).filter(|number| number % 100 != 0) {
            shelf.remove(&number).unwrap();
        }
        assert_eq!(shown(&shelf.parts()).len(), 100);
        assert!(shelf.boards.len() <= 100 * 2 / SMALLEST_BOARDS + 1, "{}", shelf.boards.len());
    }

    proptest! {
        /// It is a map, and whatever readers were shown at a moment stays as it was.
        #[test]
        fn it_is_a_map(
            steps in prop::collection::vec((0_u8..5, 0_u32..400, any::<bool>()), 1..800),
        ) {
            let mut shelf = Shelf::default();
            let mut model = BTreeMap::new();
            let mut kept: Vec<(Parts<u32>, Vec<u32>)> = Vec::new();
            for (step, (kind, key, look)) in (0_u32..).zip(steps) {
                let value = Number(Arc::new(step));
                match kind {
                    0..=2 => {
                        let old = shelf.insert(key, value).map(|number| *number.0);
                        prop_assert_eq!(old, model.insert(key, step));
                    }
                    3 => {
                        let old = shelf.remove(&key).map(|number| *number.0);
                        prop_assert_eq!(old, model.remove(&key));
                    }
                    _ => {
                        let (found, wanted) = (shelf.get_mut(&key), model.get_mut(&key));
                        prop_assert_eq!(found.is_some(), wanted.is_some());
                        if let (Some(found), Some(wanted)) = (found, wanted) {
                            *found = value;
                            *wanted = step;
                        }
                    }
                }
                prop_assert_eq!(shelf.len, model.len());
                prop_assert_eq!(shelf.get(&key).map(|number| *number.0), model.get(&key).copied());
                let mut sizes = shelf.boards.iter().map(|board| board.entries.len());
                prop_assert!(sizes.all(|size| (1..=LARGEST_BOARD).contains(&size)));
                if look {
                    let parts = shelf.parts();
                    prop_assert!(shelf.keys().eq(model.keys()));
                    prop_assert!(shown(&parts).iter().eq(model.values()));
                    prop_assert_eq!(parts.len(), model.len());
                    kept.push((parts, model.values().copied().collect()));
                }
            }
            for (parts, values) in kept {
                prop_assert_eq!(shown(&parts), values);
            }
        }
    }
}
