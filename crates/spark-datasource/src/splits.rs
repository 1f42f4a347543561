//! How files become partitions of a scan: Spark's `FilePartition`, as a pure function.

/// Sizes that steer the cutting; names as in `spark.sql.files.*`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitOptions {
    pub(crate) max_partition_bytes: u64,
    pub(crate) open_cost_bytes: u64,
    pub(crate) min_partitions: usize,
}

/// A piece of file number `file`, bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) file: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// What the cutting needs to know of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileSize {
    pub(crate) bytes: u64,
    pub(crate) splittable: bool,
}

/// `FilePartition.maxSplitBytes`.
fn max_split_bytes(files: &[FileSize], options: SplitOptions) -> u64 {
    let total: u64 = files.iter().map(|file| file.bytes + options.open_cost_bytes).sum();
    let per_core = total / options.min_partitions.max(1) as u64;
    options.max_partition_bytes.min(options.open_cost_bytes.max(per_core)).max(1)
}

/// Cuts large files, orders the pieces by falling size and packs them next-fit into partitions.
pub(crate) fn plan(files: &[FileSize], options: SplitOptions) -> Vec<Vec<Piece>> {
    let limit = max_split_bytes(files, options);
    let mut pieces = Vec::with_capacity(files.len());
    for (file, size) in files.iter().enumerate() {
        if !size.splittable {
            pieces.push(Piece { file, start: 0, end: size.bytes });
            continue;
        }
        let mut start = 0;
        while start < size.bytes {
            let end = size.bytes.min(start + limit);
            pieces.push(Piece { file, start, end });
            start = end;
        }
    }
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));

    let mut partitions = Vec::new();
    let mut current: Vec<Piece> = Vec::new();
    let mut current_bytes = 0;
    for piece in pieces {
        if current_bytes + piece.len() > limit && !current.is_empty() {
            partitions.push(std::mem::take(&mut current));
            current_bytes = 0;
        }
        current_bytes += piece.len() + options.open_cost_bytes;
        current.push(piece);
    }
    if !current.is_empty() {
        partitions.push(current);
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn shape(sizes: &[u64], min_partitions: usize) -> Vec<Vec<(usize, u64)>> {
        let files: Vec<_> =
            sizes.iter().map(|&bytes| FileSize { bytes, splittable: true }).collect();
        let options = SplitOptions {
            max_partition_bytes: 128 * MIB,
            open_cost_bytes: 4 * MIB,
            min_partitions,
        };
        plan(&files, options)
            .into_iter()
            .map(|pieces| pieces.into_iter().map(|piece| (piece.file, piece.len() / MIB)).collect())
            .collect()
    }

    #[test]
    fn a_large_file_is_cut_at_the_limit() {
        // (300 + 4) / 2 = 152 per core, limited to 128.
        assert_eq!(shape(&[300 * MIB], 2), [vec![(0, 128)], vec![(0, 128)], vec![(0, 44)]]);
    }

    #[test]
    fn small_files_share_a_partition_up_to_the_open_cost() {
        // (4 files * (1 + 4)) / 2 = 10 per split; each costs 5: a third would start at 10 and end at 11.
        assert_eq!(shape(&[MIB, MIB, MIB, MIB], 2), [vec![(0, 1), (1, 1)], vec![(2, 1), (3, 1)]]);
    }

    #[test]
    fn larger_files_come_first() {
        assert_eq!(shape(&[MIB, 3 * MIB, 2 * MIB], 1), [vec![(1, 3), (2, 2), (0, 1)]]);
    }

    #[test]
    fn parallelism_cuts_a_single_file() {
        // (16 + 4) / 4 = 5.
        assert_eq!(shape(&[16 * MIB], 4), [vec![(0, 5)], vec![(0, 5)], vec![(0, 5)], vec![(0, 1)]]);
    }
}
