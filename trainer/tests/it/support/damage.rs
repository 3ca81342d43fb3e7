//! What happens to files: bits flip, ends are cut off, pieces move, and fields hold what nobody meant.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change to a file.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// What a parser may choke on, in place of what is there.
    Word(Index, &'static [u8]),
    /// The same for a field of numbers.
    Extreme(Index, Vec<u8>),
    Number(Index, u32),
    /// A piece is moved to another place.
    Copy(Index, Index, u8),
    /// Goes on with what another file holds from there on.
    Splice(Index, Index, Index),
    /// Nothing but noise from there on, which may be the start.
    Noise(u8, Vec<u8>),
}

/// What fields hold at their ends: 0, −1, the least and the largest numbers, NaN and infinity, of 2, 4 and 8 bytes.
fn extremes() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [2, 4, 8].into_iter().flat_map(|n| [vec![0; n], vec![0xff; n]]).collect();
    let mut number = |little: &[u8]| {
        all.push(little.to_vec());
        all.push(little.iter().rev().copied().collect());
    };
    [i16::MAX, i16::MIN, 1].iter().for_each(|v| number(&v.to_le_bytes()));
    [i32::MAX, i32::MIN, 1, 0x10000].iter().for_each(|v| number(&v.to_le_bytes()));
    [i64::MAX, i64::MIN, 1, 1 << 32].iter().for_each(|v| number(&v.to_le_bytes()));
    [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE].iter().for_each(|v| number(&v.to_le_bytes()));
    [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE].iter().for_each(|v| number(&v.to_le_bytes()));
    all
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let words: Vec<&'static [u8]> = vec![
        b"99999999999999999999",
        b"-1",
        b"nan",
        b"inf",
        b"1e308",
        b"none",
        b"(",
        b")",
        b"\n\n",
        b"\r\n",
        b": ",
        b"=",
        b"%d",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\0\0\0\0",
        b"\xc3\xa9",
        b"'",
        b"4294967295",
        b"65536",
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, byte)| Damage::Set(i, byte)),
        (at(), 0u8..8).prop_map(|(i, bit)| Damage::Flip(i, bit)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(i, bytes)| Damage::Insert(i, bytes)),
        (at(), select(words)).prop_map(|(i, word)| Damage::Word(i, word)),
        (at(), select(extremes())).prop_map(|(i, number)| Damage::Extreme(i, number)),
        (at(), any::<u32>()).prop_map(|(i, number)| Damage::Number(i, number)),
        (at(), at(), any::<u8>()).prop_map(|(i, j, n)| Damage::Copy(i, j, n)),
        (at(), at(), at()).prop_map(|(i, other, j)| Damage::Splice(i, other, j)),
        (0u8..16, prop::collection::vec(any::<u8>(), 1..600)).prop_map(|(n, noise)| Damage::Noise(n, noise)),
    ]
}

/// Changes a file; `others` are files of its format.
pub(crate) fn apply(bytes: &mut Vec<u8>, damage: &Damage, others: &[Vec<u8>]) {
    let overwrite = |bytes: &mut Vec<u8>, at: usize, new: &[u8]| {
        for (offset, &byte) in new.iter().enumerate() {
            if let Some(slot) = bytes.get_mut(at + offset) {
                *slot = byte;
            }
        }
    };
    if bytes.is_empty() {
        return;
    }
    let n = bytes.len();
    match damage {
        Damage::Set(i, byte) => bytes[i.index(n)] = *byte,
        Damage::Flip(i, bit) => bytes[i.index(n)] ^= 1 << bit,
        Damage::Cut(i) => bytes.truncate(i.index(n)),
        Damage::Insert(i, new) => {
            let at = i.index(n);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Word(i, word) => overwrite(bytes, i.index(n), word),
        Damage::Extreme(i, number) => overwrite(bytes, i.index(n), number),
        Damage::Number(i, number) => overwrite(bytes, i.index(n), &number.to_le_bytes()),
        Damage::Copy(i, j, length) => {
            let from = i.index(n);
            let piece = bytes[from..(from + usize::from(*length)).min(n)].to_vec();
            overwrite(bytes, j.index(n), &piece);
        }
        Damage::Splice(i, other, j) => {
            let other = &others[other.index(others.len())];
            bytes.truncate(i.index(n));
            bytes.extend_from_slice(&other[j.index(other.len())..]);
        }
        Damage::Noise(start, noise) => {
            bytes.truncate((*start).into());
            bytes.extend_from_slice(noise);
        }
    }
}
