//! Which request is sent next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::fetcher::{BlockLocation, FetchOptions};
use crate::protocol::BLOCKS_LIMIT;

/// The blocks of one request.
#[derive(Debug)]
pub(crate) struct RemoteRequest {
    pub(crate) address: Arc<str>,
    pub(crate) blocks: Vec<BlockLocation>,
    pub(crate) bytes: u64,
}

/// The requests not sent yet, servers in turn, and how many blocks each server owes.
pub(crate) struct RequestQueue {
    waiting: VecDeque<RemoteRequest>,
    owed: BTreeMap<Arc<str>, usize>,
    limit: usize,
}

impl RequestQueue {
    /// Requests of a fifth of the bytes in flight, so that five servers are busy at once (as
    /// Spark's `targetRemoteRequestSize`). Readers of different partitions begin at different
    /// servers.
    pub(crate) fn new(remote: Vec<BlockLocation>, options: &FetchOptions, reader: u32) -> Self {
        let target = (options.max_bytes_in_flight / 5).max(1);
        let limit = options.max_blocks_in_flight_per_address.max(1);
        let per_request = limit.min(BLOCKS_LIMIT);
        let mut by_address: BTreeMap<Arc<str>, Vec<RemoteRequest>> = BTreeMap::new();
        for location in remote {
            let requests = by_address.entry(location.address.clone()).or_default();
            let fits = |r: &&mut RemoteRequest| r.bytes < target && r.blocks.len() < per_request;
            match requests.last_mut().filter(fits) {
                Some(request) => {
                    request.bytes += location.bytes;
                    request.blocks.push(location);
                }
                None => requests.push(RemoteRequest {
                    address: location.address.clone(),
                    bytes: location.bytes,
                    blocks: vec![location],
                }),
            }
        }
        let mut queues: Vec<_> = by_address.into_values().map(Vec::into_iter).collect();
        if !queues.is_empty() {
            let first = reader as usize % queues.len();
            queues.rotate_left(first);
        }
        let mut waiting = VecDeque::new();
        loop {
            let before = waiting.len();
            waiting.extend(queues.iter_mut().filter_map(Iterator::next));
            if waiting.len() == before {
                return Self { waiting, owed: BTreeMap::new(), limit };
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next request to a server that does not owe too much; `None` if all do.
    pub(crate) fn next(&mut self) -> Option<RemoteRequest> {
        let free = |r: &RemoteRequest| {
            let owed = self.owed.get(&r.address).copied().unwrap_or(0);
            owed == 0 || owed + r.blocks.len() <= self.limit
        };
        let at = self.waiting.iter().position(free)?;
        let request = self.waiting.remove(at)?;
        *self.owed.entry(request.address.clone()).or_insert(0) += request.blocks.len();
        Some(request)
    }

    /// A request is over, however.
    pub(crate) fn answered(&mut self, address: &Arc<str>, blocks: usize) {
        if let Some(owed) = self.owed.get_mut(address) {
            *owed = owed.saturating_sub(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockId;
    use proptest::prelude::*;

    fn locations(servers: &[u8]) -> Vec<BlockLocation> {
        let location = |(n, server): (u32, &u8)| BlockLocation {
            block: BlockId::Shuffle { shuffle: 0, map_partition: n, task: 0 },
            address: Arc::from(format!("s{server}:1")),
            bytes: 100,
        };
        (0..).zip(servers).map(location).collect()
    }

    proptest! {
        #[test]
        fn every_block_is_asked_for_once_within_the_limits(
            servers in prop::collection::vec(0_u8..4, 0..60), limit in 1_usize..10,
            in_flight in 100_u64..5000, first: u32, answers in prop::collection::vec(any::<usize>(), 200),
        ) {
            let options = FetchOptions {
                max_blocks_in_flight_per_address: limit,
                max_bytes_in_flight: in_flight,
                ..FetchOptions::default()
            };
            let mut queue = RequestQueue::new(locations(&servers), &options, first);
            let mut running: Vec<RemoteRequest> = Vec::new();
            let mut asked = Vec::new();
            let mut answers = answers.into_iter().cycle();
            loop {
                match queue.next() {
                    Some(request) => {
                        asked.extend(request.blocks.iter().map(|l| l.block));
                        running.push(request);
                        for server in 0..4 {
                            let address = format!("s{server}:1");
                            let owed: usize = running
                                .iter()
                                .filter(|r| *r.address == *address)
                                .map(|r| r.blocks.len())
                                .sum();
                            prop_assert!(owed <= limit, "{owed} blocks of {address} in flight");
                        }
                    }
                    None if queue.is_empty() => break,
                    None => {
                        prop_assert!(!running.is_empty(), "waits for nothing");
                        let at = answers.next().unwrap_or(0) % running.len();
                        let done = running.swap_remove(at);
                        queue.answered(&done.address, done.blocks.len());
                    }
                }
            }
            asked.sort();
            let all: Vec<BlockId> = locations(&servers).iter().map(|l| l.block).collect();
            prop_assert_eq!(asked, all);
        }
    }
}
