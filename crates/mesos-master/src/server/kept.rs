//! Texts that are asked for again and again: of a long list of shared items each is written once, and
//! anew only when it is another.
//!
//! Who is shared is not changed but replaced, so an item is the same as last time if its address is; a
//! reference that is kept sees to it that the address is not given to another. Items stand in
//! blocks, whose texts are handed out without being copied. A block begins at an item whose address says
//! so: what comes and goes elsewhere in the list leaves it alone. Lists that come in parts have these as blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

/// One in so many items begins a block: some tens of kilobytes of text.
const USUAL_BLOCK: usize = 64;

/// Items in a block, whatever their addresses say.
const LARGEST_BLOCK: usize = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct Kept<T> {
    blocks: Vec<Block<T>>,
    /// Where a block is written before its length is known.
    scratch: Vec<u8>,
}

/// Items and what was written of them, with commas between.
#[derive(Debug)]
struct Block<T> {
    items: Vec<Arc<T>>,
    /// Where the text of each ends.
    ends: Vec<usize>,
    text: Bytes,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), scratch: Vec::new() }
    }
}

impl<T> Kept<T> {
    /// The texts of all items, with commas between, in pieces; `write` appends that of one. The items come in
    /// blocks. What is not among them any more is left to the caller, since to free much takes time.
    pub(super) fn texts<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a [Arc<T>]>,
        mut write: impl FnMut(&T, &mut Vec<u8>),
        gone: &mut Vec<Arc<T>>,
    ) -> Vec<Bytes>
    where
        T: 'a,
    {
        let old = std::mem::take(&mut self.blocks);
        let mut whole: BTreeMap<usize, Block<T>> =
            old.into_iter().map(|block| (address(&block.items[0]), block)).collect();
        // First what is as it was; then the rest, for which what is left of the old serves.
        let found: Vec<_> = blocks
            .map(|part| match whole.remove(&address(&part[0])) {
                Some(block) if block.is_of(part) => (part, Some(block)),
                Some(other) => {
                    whole.insert(address(&part[0]), other);
                    (part, None)
                }
                None => (part, None),
            })
            .collect();
        let mut known: Vec<(usize, &[u8])> = whole.values().flat_map(Block::texts).collect();
        known.sort_unstable_by_key(|(address, _)| *address);
        for (part, same) in found {
            let block = same.unwrap_or_else(|| {
                let (mut ends, text) = (Vec::with_capacity(part.len()), &mut self.scratch);
                text.clear();
                for item in part {
                    if !text.is_empty() {
                        text.push(b',');
                    }
                    match known.binary_search_by_key(&address(item), |(address, _)| *address) {
                        Ok(at) => text.extend_from_slice(known[at].1),
                        Err(_) => write(item, text),
                    }
                    ends.push(text.len());
                }
                Block { items: part.to_vec(), ends, text: Bytes::copy_from_slice(text) }
            });
            self.blocks.push(block);
        }
        drop(known);
        gone.extend(whole.into_values().flat_map(|block| block.items));
        let mut pieces = Vec::with_capacity(self.blocks.len() * 2);
        for block in &self.blocks {
            if !pieces.is_empty() {
                pieces.push(Bytes::from_static(b","));
            }
            pieces.push(block.text.clone());
        }
        pieces
    }

    /// All items whose texts are known.
    pub(super) fn into_items(self) -> impl Iterator<Item = Arc<T>> {
        self.blocks.into_iter().flat_map(|block| block.items)
    }
}

impl<T> Block<T> {
    fn is_of(&self, items: &[Arc<T>]) -> bool {
        self.items.len() == items.len()
            && self.items.iter().zip(items).all(|(mine, other)| Arc::ptr_eq(mine, other))
    }

    /// The text of each item by its address.
    fn texts(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        let texts = begins.zip(&self.ends).map(|(begin, end)| &self.text[begin..*end]);
        self.items.iter().map(address).zip(texts)
    }
}

fn address<T>(item: &Arc<T>) -> usize {
    Arc::as_ptr(item).addr()
}

/// Cuts a list where the addresses say so.
pub(super) fn blocks_of<T>(items: &[Arc<T>]) -> impl Iterator<Item = &[Arc<T>]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        rest.first()?;
        let most = rest.len().min(LARGEST_BLOCK);
        let end = (1..most).find(|at| begins(&rest[*at])).unwrap_or(most);
        let (block, left) = rest.split_at(end);
        rest = left;
        Some(block)
    })
}

/// Whether a block begins here: chance, but the same each time.
fn begins<T>(item: &Arc<T>) -> bool {
    // The golden ratio spreads addresses, which are alike, over all numbers.
    let spread = (address(item) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    spread.is_multiple_of(USUAL_BLOCK as u64)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// The text of all, and how many items were written for it.
    fn text(kept: &mut Kept<String>, items: &[Arc<String>]) -> (String, usize) {
        let written = Cell::new(0);
        let write = |item: &String, out: &mut Vec<u8>| {
            written.set(written.get() + 1);
            out.extend_from_slice(item.as_bytes());
        };
        let pieces = kept.texts(blocks_of(items), write, &mut Vec::new());
        (String::from_utf8(pieces.concat()).unwrap(), written.get())
    }

    fn joined(items: &[Arc<String>]) -> String {
        items.iter().map(|item| item.as_str()).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn only_what_is_new_is_written() {
        let mut kept = Kept::default();
        assert_eq!(text(&mut kept, &[]), (String::new(), 0));
        let mut items: Vec<_> = (0..5000).map(|number| Arc::new(format!("i{number}"))).collect();
        assert_eq!(text(&mut kept, &items), (joined(&items), 5000));
        assert_eq!(text(&mut kept, &items), (joined(&items), 0));
        items.remove(1);
        items.insert(2500, Arc::new("new".into()));
        items[4000] = Arc::new("changed".into());
        items.push(Arc::new("last".into()));
        assert_eq!(text(&mut kept, &items), (joined(&items), 3));
        items.truncate(10);
        assert_eq!(text(&mut kept, &items), (joined(&items), 0));
    }

    #[test]
    fn blocks_are_neither_tiny_nor_huge() {
        let items: Vec<_> = (0..20_000).map(Arc::new).collect();
        let sizes: Vec<_> = blocks_of(&items).map(<[_]>::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 20_000);
        assert!(sizes.iter().all(|size| *size <= LARGEST_BLOCK));
        assert!((40..2000).contains(&sizes.len()), "{} blocks", sizes.len());
    }

    proptest! {
        /// Whatever happens to the list, the text is that of the list, and what stayed is not written again.
        #[test]
        fn the_text_is_always_that_of_the_list(
            changes in prop::collection::vec((0_u8..4, any::<prop::sample::Index>()), 1..200),
            every in 1_usize..20,
        ) {
            let mut kept = Kept::default();
            let mut items: Vec<_> = (0..300).map(|n| Arc::new(format!("i{n}"))).collect();
            text(&mut kept, &items);
            let mut new = 0;
            for (step, (kind, place)) in changes.iter().enumerate() {
                let at = place.index(items.len() + 1);
                let fresh = Arc::new(format!("s{step}"));
                match kind {
                    0 => items.insert(at, fresh),
                    1 if at < items.len() => items[at] = fresh,
                    2 if at < items.len() => drop(items.remove(at)),
                    _ => items.push(fresh),
                }
                new += 1;
                if step % every == 0 {
                    let (told, written) = text(&mut kept, &items);
                    prop_assert_eq!(told, joined(&items));
                    prop_assert!(written <= new, "{} of {} written", written, new);
                    new = 0;
                }
            }
        }
    }
}
