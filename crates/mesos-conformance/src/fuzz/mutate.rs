//! Inputs out of inputs.

/// A small generator; the same seed gives the same numbers.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 16) % (bound.max(1) as u64)).unwrap_or_default()
    }
}

/// Tells inputs apart in file names (FNV-1a).
pub(super) fn hash(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Bytes at which lengths, signs and ends turn.
const EDGES: [u8; 12] = [0, 1, 0x0a, 0x20, 0x2f, 0x3a, 0x7f, 0x80, 0xc0, 0xfe, 0xff, b'"'];
/// Numbers at which integers of some width end.
const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "255",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "NaN",
    "0.1",
];

/// Some input of the pool, changed in a few places.
pub(super) fn mutate(pool: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = pool.get(random.below(pool.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(&mut input, pool, words, random);
    }
    input
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(10) {
        0 => flip(input, at, random),
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = EDGES[random.below(EDGES.len())];
            }
        }
        2 => input.insert(at, EDGES[random.below(EDGES.len())]),
        3 => {
            let end = (at + 1 + random.below(8)).min(input.len());
            input.drain(at.min(end)..end);
        }
        4 => {
            // A part once more.
            let end = (at + random.below(64)).min(input.len());
            let part = input[at.min(end)..end].to_vec();
            insert(input, at, &part);
        }
        5 => {
            // The beginning of this, the end of another.
            if let Some(other) = pool.get(random.below(pool.len())) {
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        6 if !words.is_empty() => insert(input, at, words[random.below(words.len())].as_bytes()),
        7 => replace_number(input, random),
        8 => input.truncate(at),
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = byte.wrapping_add(if random.below(2) == 0 { 1 } else { 255 });
            }
        }
    }
}

fn flip(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    input.splice(at..at, part.iter().copied());
}

/// A run of digits becomes a number of another kind.
fn replace_number(input: &mut Vec<u8>, random: &mut Random) {
    let digits: Vec<usize> = (0..input.len()).filter(|at| input[*at].is_ascii_digit()).collect();
    let Some(start) = digits.get(random.below(digits.len())).copied() else { return };
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS[random.below(NUMBERS.len())];
    input.splice(start..start + length, number.bytes());
}
