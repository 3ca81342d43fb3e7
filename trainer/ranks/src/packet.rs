//! What travels: a header of fixed size and bytes.

use std::sync::Mutex;

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

    fn write(self, bytes: &mut [u8]) {
        bytes[0] = self.kind as u8;
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        let fields = bytes[9..].as_chunks_mut().0;
        fields
            .iter_mut()
            .zip([self.bucket, self.sample, self.samples])
            .for_each(|(bytes, field)| *bytes = field.to_le_bytes());
    }

    /// The header of a packet, and what follows; none of what is no packet of this version.
    fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (header, bytes) = packet.split_first_chunk::<SIZE>()?;
        let (kind, rest) = header.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let field = |i: usize| Some(u32::from_le_bytes(*rest.as_chunks().0.get(i)?));
        let (kind, number) = (*KINDS.get(usize::from(*kind))?, u64::from_le_bytes(*number));
        Some((Self { kind, number, bucket: field(0)?, sample: field(1)?, samples: field(2)? }, bytes))
    }
}

/// Packets of so many bytes are worth keeping: to have their memory from the system anew costs as much as to fill it.
const WORTH: usize = 1 << 12;
/// So many are kept at most.
const MOST_KEPT: usize = 1 << 10;

/// The memory of packets that are gone, for those to come.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A header and bytes.
pub(crate) struct Packet(Vec<u8>);

impl Packet {
    /// Of bytes.
    pub(crate) fn new(header: Header, bytes: &[u8]) -> Self {
        let mut packet = Self::zeroed(SIZE + bytes.len());
        packet.set_header(header);
        packet.0[SIZE..].copy_from_slice(bytes);
        packet
    }

    /// Of numbers.
    pub(crate) fn of(header: Header, numbers: &[f32]) -> Self {
        let mut packet = Self::zeroed(SIZE + size_of_val(numbers));
        packet.set_header(header);
        let bytes = packet.0[SIZE..].as_chunks_mut().0;
        bytes.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_le_bytes());
        packet
    }

    /// Of so many bytes, header included, which are to be written.
    pub(crate) fn zeroed(bytes: usize) -> Self {
        let kept = if bytes < WORTH { None } else { KEPT.lock().ok().and_then(|mut kept| kept.pop()) };
        let mut buffer = kept.unwrap_or_default();
        buffer.resize(bytes, 0);
        Self(buffer)
    }

    pub(crate) fn set_header(&mut self, header: Header) {
        header.write(&mut self.0[..SIZE]);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// For what arrives.
    #[cfg(feature = "mpi")]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The header, and what follows; none of what is no packet of this version.
    pub(crate) fn read(&self) -> Option<(Header, &[u8])> {
        Header::read(&self.0)
    }

    /// Its numbers.
    pub(crate) fn numbers(&self) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.0[SIZE..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }

    /// Adds another's numbers to its own.
    pub(crate) fn add(&mut self, other: &Self) {
        let own = self.0[SIZE..].as_chunks_mut().0;
        own.iter_mut()
            .zip(other.numbers())
            .for_each(|(own, x)| *own = (f32::from_le_bytes(*own) + x).to_le_bytes());
    }
}

impl Clone for Packet {
    fn clone(&self) -> Self {
        let mut packet = Self::zeroed(self.0.len());
        packet.0.copy_from_slice(&self.0);
        packet
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if let (true, Ok(mut kept)) = (self.0.capacity() >= WORTH, KEPT.lock())
            && kept.len() < MOST_KEPT
        {
            kept.push(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        for kind in KINDS {
            let header = Header { kind, number: u64::MAX - 3, bucket: 7, sample: 2, samples: 4 };
            let packet = Packet::of(header, &[1.5, -0.0, f32::INFINITY]);
            let (read, bytes) = packet.read().unwrap();
            assert_eq!((read, bytes.len()), (header, 12));
            let bits: Vec<u32> = packet.numbers().map(f32::to_bits).collect();
            assert_eq!(bits, [1.5f32.to_bits(), (-0.0f32).to_bits(), f32::INFINITY.to_bits()]);
        }
        assert_eq!(Header::read(&[0; SIZE - 1]), None);
        assert_eq!(Header::read(&[99; SIZE]), None, "no kind has this number");
    }

    #[test]
    fn a_packet_in_the_memory_of_another_is_its_own() {
        let header = Header::of(Kind::Part);
        let ones = vec![1.0; 2 * WORTH];
        drop(Packet::of(header, &ones));
        let mut packet = Packet::of(header, &ones[..WORTH]);
        packet.add(&Packet::of(header, &ones[..WORTH]));
        assert!(packet.numbers().len() == WORTH && packet.clone().numbers().all(|number| number == 2.0));
    }
}
