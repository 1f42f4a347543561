//! Lines of a byte range of a file, by Hadoop's rule: a line belongs to the range in which it starts, where a line that
//! starts exactly at the end of a range still belongs to it, and a range that does not begin the file drops what comes
//! before its first line break.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::compression::Codec;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the lines of one range.
pub(crate) struct LineReader {
    input: Box<dyn Read + Send>,
    separator: Option<Vec<u8>>,
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[begin..]`.
    begin: usize,
    /// Offset in the file of `buffer[begin]`.
    position: u64,
    /// Last offset at which a line may start.
    last_start: u64,
    ended: bool,
}

impl LineReader {
    /// Opens `start..end` of a file; compressed files are always read whole.
    pub(crate) fn open(
        path: &Path,
        start: u64,
        end: u64,
        separator: Option<&[u8]>,
    ) -> io::Result<Self> {
        let codec = Codec::of_file(path).map_err(io::Error::other)?;
        let mut file = File::open(path)?;
        let whole = codec != Codec::None;
        let start = if whole { 0 } else { start };
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        let mut reader = Self {
            input: codec.reader(file)?,
            separator: separator.map(<[u8]>::to_vec),
            buffer: Vec::new(),
            begin: 0,
            position: start,
            last_start: if whole { u64::MAX } else { end },
            ended: false,
        };
        if start > 0 {
            reader.skip_line()?;
        } else {
            reader.fill()?;
            if reader.buffer.starts_with(BYTE_ORDER_MARK) {
                reader.begin = BYTE_ORDER_MARK.len();
                reader.position = BYTE_ORDER_MARK.len() as u64;
            }
        }
        Ok(reader)
    }

    /// The next line without its separator.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        if self.position > self.last_start {
            return Ok(None);
        }
        let Some((length, separator)) = self.find_end()? else { return Ok(None) };
        let line_start = self.begin;
        self.begin += length + separator;
        self.position += (length + separator) as u64;
        Ok(Some(&self.buffer[line_start..line_start + length]))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        if let Some((length, separator)) = self.find_end()? {
            self.begin += length + separator;
            self.position += (length + separator) as u64;
        }
        Ok(())
    }

    /// Length of the line at `begin` and of its separator; `None` at the end of the file.
    fn find_end(&mut self) -> io::Result<Option<(usize, usize)>> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.begin..];
            if let Some(found) = self.search(unread, searched) {
                return Ok(Some(found));
            }
            if self.ended {
                return Ok((!unread.is_empty()).then_some((unread.len(), 0)));
            }
            // A separator may lie across the border of two chunks.
            searched = unread.len().saturating_sub(self.separator.as_ref().map_or(1, Vec::len));
            self.fill()?;
        }
    }

    fn search(&self, unread: &[u8], from: usize) -> Option<(usize, usize)> {
        match &self.separator {
            None => {
                let at = from + memchr::memchr2(b'\n', b'\r', &unread[from..])?;
                if unread[at] == b'\n' {
                    return Some((at, 1));
                }
                match unread.get(at + 1) {
                    Some(b'\n') => Some((at, 2)),
                    Some(_) => Some((at, 1)),
                    None => self.ended.then_some((at, 1)),
                }
            }
            Some(separator) => {
                let at = from + memchr::memmem::find(&unread[from..], separator)?;
                Some((at, separator.len()))
            }
        }
    }

    /// Drops what was read and appends another chunk.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK_BYTES, 0);
        let mut filled = length;
        while filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

/// A whole file, decompressed, without a byte order mark.
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let codec = Codec::of_file(path).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    codec.reader(File::open(path)?)?.read_to_end(&mut bytes)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(path: &Path, start: u64, end: u64, separator: Option<&[u8]>) -> Vec<String> {
        let mut reader = LineReader::open(path, start, end, separator).unwrap();
        let mut out = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            out.push(String::from_utf8_lossy(line).into_owned());
        }
        out
    }

    proptest! {
        #[test]
        fn ranges_cover_each_line_once(
            text in "[ab\r\n]{0,40}",
            cuts in proptest::collection::btree_set(1_u64..40, 0..5),
            custom in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("f");
            std::fs::write(&path, &text).unwrap();
            let separator: Option<&[u8]> = if custom { Some(b"b") } else { None };
            let length = text.len() as u64;
            let all = lines(&path, 0, length, separator);
            let mut borders: Vec<u64> = cuts.into_iter().filter(|cut| *cut < length).collect();
            borders.insert(0, 0);
            borders.push(length);
            let mut pieces = Vec::new();
            for pair in borders.windows(2) {
                pieces.extend(lines(&path, pair[0], pair[1], separator));
            }
            prop_assert_eq!(all, pieces);
        }
    }
}
