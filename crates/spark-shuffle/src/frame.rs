//! Frames: the pieces a segment is made of, each verified and unpacked by itself.
//!
//! ```text
//! stored bytes, codec in the top bits · raw bytes · CRC-32 of both numbers and the stored bytes
//! stored bytes
//! ```
//!
//! A reader that stops early has verified all it used: a checksum over a whole segment would be
//! known only at its end.

use bytes::{Buf, Bytes};

/// Bytes before a frame's stored bytes.
pub(crate) const HEADER_BYTES: usize = 12;

/// Small writes are gathered up to this: packing fewer bytes at a time packs badly, more fall out
/// of the processor's cache.
pub(crate) const FRAME_BYTES: usize = 256 * 1024;

/// The most a frame unpacks to. A larger write becomes several frames; so what a reader takes into
/// memory on the word of a header is bounded.
pub(crate) const FRAME_RAW_LIMIT: usize = 4 * 1024 * 1024;

/// Frames smaller than this are stored as they are: a header of a codec is most of them.
const PACK_MINIMUM: usize = 256;

/// Packed frames must be smaller than this part of the raw ones, in sixteenths; otherwise unpacking
/// costs more than it saves.
const PACK_WORTH_SIXTEENTHS: usize = 14;

/// After a frame that did not pack, this many go by untried, twice as many after each further one.
const SKIP_FIRST: u32 = 4;

/// The most that go by untried: data changes its nature.
const SKIP_LIMIT: u32 = 64;

/// Speed over size, as Spark's `spark.io.compression.zstd.level`.
const ZSTD_LEVEL: i32 = 1;

const CODEC_SHIFT: u32 = 28;
const STORED_MASK: u32 = (1 << CODEC_SHIFT) - 1;

/// How the frames of a block are packed (`spark.shuffle.compress`, `spark.io.compression.codec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// LZ4 blocks: quick, about half the bytes.
    Lz4,
    /// Zstandard at its quickest level: a third of the bytes, three times the work.
    Zstd,
}

impl Codec {
    /// The codec of `spark.io.compression.codec`; `None` for one that is not there (`lzf`,
    /// `snappy`).
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    fn of_number(number: u32) -> Option<Self> {
        [Self::None, Self::Lz4, Self::Zstd].into_iter().find(|codec| codec.number() == number)
    }
}

/// Packs frames, and stops trying while they do not get smaller.
pub(crate) struct Packer {
    codec: Codec,
    table: Option<lz4_flex::block::CompressTable>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    skip: u32,
    next_skip: u32,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl Packer {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, table: None, zstd: None, skip: 0, next_skip: SKIP_FIRST }
    }

    /// Whether frames may come out smaller than they went in.
    pub(crate) fn packs(&self) -> bool {
        self.codec != Codec::None
    }

    /// Appends one frame of at most [`FRAME_RAW_LIMIT`] bytes to `out`.
    pub(crate) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        debug_assert!(raw.len() <= FRAME_RAW_LIMIT);
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let codec = if raw.len() < PACK_MINIMUM { Codec::None } else { self.codec };
        let packed = match codec {
            Codec::None => false,
            Codec::Lz4 | Codec::Zstd if self.skip > 0 => {
                self.skip -= 1;
                false
            }
            Codec::Lz4 | Codec::Zstd => self.try_pack(codec, raw, out),
        };
        if !packed {
            out.extend_from_slice(raw);
        }
        seal(&mut out[start..], if packed { codec } else { Codec::None }, raw.len());
    }

    fn try_pack(&mut self, codec: Codec, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let body = out.len();
        let limit = raw.len() * PACK_WORTH_SIXTEENTHS / 16;
        let length = match codec {
            Codec::None => None,
            Codec::Lz4 => {
                out.resize(body + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
                let table = self.table.get_or_insert_with(|| {
                    if raw.len() < usize::from(u16::MAX) {
                        lz4_flex::block::CompressTable::small()
                    } else {
                        lz4_flex::block::CompressTable::large()
                    }
                });
                lz4_flex::block::compress_into_with_table(raw, &mut out[body..], table).ok()
            }
            Codec::Zstd => {
                out.resize(body + limit, 0);
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                // Does not fit into `limit` bytes: not worth it.
                self.zstd.as_mut().and_then(|z| z.compress_to_buffer(raw, &mut out[body..]).ok())
            }
        };
        match length.filter(|length| *length < limit) {
            Some(length) => {
                out.truncate(body + length);
                self.next_skip = SKIP_FIRST;
                true
            }
            None => {
                out.truncate(body);
                self.skip = self.next_skip;
                self.next_skip = (self.next_skip * 2).min(SKIP_LIMIT);
                false
            }
        }
    }
}

/// Fills in the header at the start of a frame whose stored bytes follow it.
pub(crate) fn seal(frame: &mut [u8], codec: Codec, raw: usize) {
    let stored = (frame.len() - HEADER_BYTES) as u32;
    frame[..4].copy_from_slice(&(stored | codec.number() << CODEC_SHIFT).to_le_bytes());
    frame[4..8].copy_from_slice(&(raw as u32).to_le_bytes());
    let checksum = checksum(&frame[..8], &frame[HEADER_BYTES..]);
    frame[8..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// The header of a frame whose bytes lie elsewhere, stored as they are.
pub(crate) fn plain_header(raw: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    header[4..8].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    let checksum = checksum(&header[..8], raw);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn checksum(numbers: &[u8], stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(numbers);
    hasher.update(stored);
    hasher.finalize()
}

/// What a header says of its frame; the numbers are within their limits, and not verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) stored: usize,
    raw: usize,
    codec: Codec,
    checksum: u32,
    numbers: [u8; 8],
}

impl Header {
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, &'static str> {
        let mut numbers = [0; 8];
        numbers.copy_from_slice(&bytes[..8]);
        let mut input = &bytes[..];
        let (first, raw, checksum) = (input.get_u32_le(), input.get_u32_le(), input.get_u32_le());
        let stored = (first & STORED_MASK) as usize;
        let raw = raw as usize;
        let Some(codec) = Codec::of_number(first >> CODEC_SHIFT) else {
            return Err("a frame of an unknown codec");
        };
        let plain = codec == Codec::None;
        if raw > FRAME_RAW_LIMIT || stored > raw || raw == 0 || plain && stored != raw {
            return Err("a frame of impossible length");
        }
        Ok(Self { stored, raw, codec, checksum, numbers })
    }

    /// Whether the stored bytes are those that were written.
    pub(crate) fn verify(&self, stored: &[u8]) -> Result<(), &'static str> {
        if checksum(&self.numbers, stored) == self.checksum {
            Ok(())
        } else {
            Err("checksum of a frame does not fit")
        }
    }
}

/// Verifies the frames of a run of whole ones and answers how many there are and what they unpack
/// to.
pub(crate) fn verify(frames: &[u8]) -> Result<Unpacked, &'static str> {
    let mut sum = Unpacked { frames: 0, raw: 0 };
    let mut rest = frames;
    while !rest.is_empty() {
        let (header, stored, after) = split(rest)?;
        header.verify(stored)?;
        sum.frames += 1;
        sum.raw += header.raw;
        rest = after;
    }
    Ok(sum)
}

/// What a run of frames is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) frames: usize,
    pub(crate) raw: usize,
}

fn split(frames: &[u8]) -> Result<(Header, &[u8], &[u8]), &'static str> {
    let Some((header, rest)) = frames.split_first_chunk::<HEADER_BYTES>() else {
        return Err("the segment ends inside a frame");
    };
    let header = Header::read(header)?;
    if header.stored > rest.len() {
        return Err("the segment ends inside a frame");
    }
    let (stored, after) = rest.split_at(header.stored);
    Ok((header, stored, after))
}

/// The length of the whole frames at the start of `bytes`, and how many bytes the frame after them
/// has in all, as far as its header is there.
pub(crate) fn whole(bytes: &[u8]) -> Result<(usize, Option<usize>), &'static str> {
    let mut whole = 0;
    while let Some(header) = bytes[whole..].first_chunk::<HEADER_BYTES>() {
        let length = HEADER_BYTES + Header::read(header)?.stored;
        if whole + length > bytes.len() {
            return Ok((whole, Some(length)));
        }
        whole += length;
    }
    Ok((whole, None))
}

/// Takes verified frames off the front of `frames` until about `limit` bytes are unpacked, one at
/// least. One frame that is stored as it is costs no copy.
pub(crate) fn unpack(frames: &mut Bytes, limit: usize) -> Result<Bytes, &'static str> {
    let (first, ..) = split(frames)?;
    let first_length = HEADER_BYTES + first.stored;
    if first.codec == Codec::None && (first_length == frames.len() || first.raw >= limit) {
        let data = frames.slice(HEADER_BYTES..first_length);
        frames.advance(first_length);
        return Ok(data);
    }
    let mut taken = 0;
    let mut total = 0;
    let mut rest = &frames[..];
    while !rest.is_empty() {
        let (header, _, after) = split(rest)?;
        if taken > 0 && total + header.raw > limit {
            break;
        }
        total += header.raw;
        taken += HEADER_BYTES + header.stored;
        rest = after;
    }
    let mut out = Vec::with_capacity(total);
    let mut rest = &frames[..taken];
    while !rest.is_empty() {
        let (header, stored, after) = split(rest)?;
        unpack_one(&header, stored, &mut out)?;
        rest = after;
    }
    frames.advance(taken);
    Ok(out.into())
}

fn unpack_one(header: &Header, stored: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    const BAD: &str = "a frame does not unpack";
    let start = out.len();
    let length = match header.codec {
        Codec::None => {
            out.extend_from_slice(stored);
            stored.len()
        }
        Codec::Lz4 => {
            out.resize(start + header.raw, 0);
            lz4_flex::block::decompress_into(stored, &mut out[start..]).map_err(|_| BAD)?
        }
        Codec::Zstd => {
            out.resize(start + header.raw, 0);
            zstd::bulk::decompress_to_buffer(stored, &mut out[start..]).map_err(|_| BAD)?
        }
    };
    if length == header.raw { Ok(()) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(length: usize, seed: u64) -> Vec<u8> {
        let word = |i: u64| ["spark ", "mesos ", "row ", "shuffle "][(i * 7 + seed) as usize % 4];
        (0..).flat_map(|i| word(i).bytes()).take(length).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn unpack_all(frames: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
        verify(frames)?;
        let mut frames = Bytes::copy_from_slice(frames);
        let mut out = Vec::new();
        while !frames.is_empty() {
            out.extend_from_slice(&unpack(&mut frames, limit)?);
        }
        Ok(out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_packed_is_unpacked(
            pieces in prop::collection::vec((1_usize..60_000, any::<bool>()), 1..8),
            codec in prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd)],
            limit in 1_usize..200_000,
        ) {
            let mut packer = Packer::new(codec);
            let (mut frames, mut expected) = (Vec::new(), Vec::new());
            for (length, random) in &pieces {
                let raw = if *random { noise(*length) } else { text(*length, 1) };
                packer.pack(&raw, &mut frames);
                expected.extend_from_slice(&raw);
            }
            prop_assert_eq!(unpack_all(&frames, limit).unwrap(), expected);
            prop_assert_eq!(verify(&frames).unwrap().frames, pieces.len());
            prop_assert_eq!(whole(&frames).unwrap(), (frames.len(), None));
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = whole(&bytes);
            prop_assert!(bytes.is_empty() || verify(&bytes).is_err());
        }

        #[test]
        fn one_changed_bit_is_noticed(at in 0_usize..5000, bit in 0_u8..8, zip: bool) {
            let mut frames = Vec::new();
            let codec = if zip { Codec::Lz4 } else { Codec::None };
            Packer::new(codec).pack(&text(5000, 3), &mut frames);
            let at = at % frames.len();
            frames[at] ^= 1 << bit;
            prop_assert!(unpack_all(&frames, usize::MAX).is_err());
        }
    }

    #[test]
    fn text_gets_smaller_and_noise_is_left_alone() {
        for codec in [Codec::Lz4, Codec::Zstd] {
            let mut packed = Vec::new();
            let mut packer = Packer::new(codec);
            packer.pack(&text(100_000, 0), &mut packed);
            assert!(packed.len() < 20_000, "{codec:?}: {}", packed.len());
            packed.clear();
            for _ in 0..20 {
                packer.pack(&noise(10_000), &mut packed);
            }
            assert_eq!(packed.len(), 20 * (10_000 + HEADER_BYTES));
            assert!(packer.skip > 0);
        }
    }

    #[test]
    fn a_header_cannot_ask_for_much_memory() {
        let mut header = [0xff; HEADER_BYTES];
        assert!(Header::read(&header).is_err());
        // LZ4, ten bytes that unpack to a gigabyte.
        header[..4].copy_from_slice(&(10_u32 | 1 << CODEC_SHIFT).to_le_bytes());
        header[4..8].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        assert!(Header::read(&header).is_err());
    }

    #[test]
    fn a_plain_frame_costs_no_copy() {
        let raw = noise(1000);
        let mut frames = plain_header(&raw).to_vec();
        frames.extend_from_slice(&raw);
        let mut frames = Bytes::from(frames);
        let before = frames.as_ptr();
        let data = unpack(&mut frames, usize::MAX).unwrap();
        assert_eq!((&data[..], data.as_ptr()), (&raw[..], before.wrapping_add(HEADER_BYTES)));
    }
}
