//! What travels: a header of fixed size and bytes.

/// What a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// That the sender lives.
    #[default]
    Beat,
    /// See [`Ranks::gather`](crate::Ranks::gather).
    Gathered,
    /// See [`Ranks::send`](crate::Ranks::send).
    Streamed,
    /// A sample's part of a bucket, for the bucket's owner.
    Part,
    /// A bucket's sum, from its owner.
    Sum,
    /// That the sender has come to its end.
    Done,
    /// That the sender ends by an error, in words.
    Failed,
}

/// See [`Kind`].
const KINDS: [Kind; 7] =
    [Kind::Beat, Kind::Gathered, Kind::Streamed, Kind::Part, Kind::Sum, Kind::Done, Kind::Failed];

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Which gathering, stream or sum.
    pub(crate) number: u64,
    pub(crate) bucket: u32,
    pub(crate) sample: u32,
    /// Samples in all.
    pub(crate) samples: u32,
}

/// Bytes of a header.
const SIZE: usize = 1 + 8 + 3 * 4;

impl Header {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    fn write(self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind as u8);
        bytes.extend(self.number.to_le_bytes());
        [self.bucket, self.sample, self.samples].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    }

    /// The header of a packet, and what follows; none of what is no packet of this version.
    pub(crate) fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (header, bytes) = packet.split_first_chunk::<SIZE>()?;
        let (kind, rest) = header.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let field = |i: usize| Some(u32::from_le_bytes(*rest.as_chunks().0.get(i)?));
        let (kind, number) = (*KINDS.get(usize::from(*kind))?, u64::from_le_bytes(*number));
        Some((Self { kind, number, bucket: field(0)?, sample: field(1)?, samples: field(2)? }, bytes))
    }
}

/// A packet of bytes.
pub(crate) fn packet(header: Header, bytes: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SIZE + bytes.len());
    header.write(&mut packet);
    packet.extend_from_slice(bytes);
    packet
}

/// A packet of numbers.
pub(crate) fn packet_of(header: Header, numbers: &[f32]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SIZE + size_of_val(numbers));
    header.write(&mut packet);
    packet.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    packet
}

/// The numbers of a packet's bytes.
pub(crate) fn numbers(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + '_ {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for kind in KINDS {
            let header = Header { kind, number: u64::MAX - 3, bucket: 7, sample: 2, samples: 4 };
            let packet = packet_of(header, &[1.5, -0.0, f32::INFINITY]);
            let (read, bytes) = Header::read(&packet).unwrap();
            assert_eq!(read, header);
            let bits: Vec<u32> = numbers(bytes).map(f32::to_bits).collect();
            assert_eq!(bits, [1.5f32.to_bits(), (-0.0f32).to_bits(), f32::INFINITY.to_bits()]);
        }
        assert_eq!(Header::read(&[0; SIZE - 1]), None);
        assert_eq!(Header::read(&[99; SIZE]), None, "no kind has this number");
    }
}
