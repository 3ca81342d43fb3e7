//! Voxel types: their codes, sizes and conversion to and from bytes.

/// The order of a number's bytes in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

impl ByteOrder {
    /// `little` or `big`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }
}

/// The numeric types a volume may be stored in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum VoxelType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl VoxelType {
    /// Every type.
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    /// NIfTI's `datatype`.
    pub fn code(self) -> i16 {
        match self {
            Self::U8 => 2,
            Self::I16 => 4,
            Self::I32 => 8,
            Self::F32 => 16,
            Self::F64 => 64,
            Self::I8 => 256,
            Self::U16 => 512,
            Self::U32 => 768,
            Self::I64 => 1024,
            Self::U64 => 1280,
        }
    }

    /// The type of a `datatype` code, or why there is none.
    pub(super) fn from_code(code: i16) -> Result<Self, String> {
        if let Some(found) = Self::ALL.into_iter().find(|t| t.code() == code) {
            return Ok(found);
        }
        let (name, remedy) = match code {
            1 => ("one-bit voxels", "save it as uint8"),
            32 => ("complex64 voxels", "save the magnitude as float32"),
            1792 => ("complex128 voxels", "save the magnitude as float64"),
            2048 => ("complex256 voxels", "save the magnitude as float64"),
            128 => ("RGB24 colour voxels", "save each colour as a channel of its own"),
            2304 => ("RGBA32 colour voxels", "save each colour as a channel of its own"),
            1536 => ("float128 voxels", "save it as float64"),
            _ => {
                return Err(format!(
                    "datatype {code} is no NIfTI voxel type; the header is damaged, export the file again"
                ));
            }
        };
        Err(format!("{name} (datatype {code}) are not supported; {remedy}"))
    }

    /// NumPy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Whole numbers only.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64)
    }

    /// Bytes of one voxel.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// A Rust number that is a voxel type.
pub trait Voxel: Copy + Default + Send + Sync + 'static + sealed::Sealed {
    /// How it is stored.
    const TYPE: VoxelType;
    /// Reads one voxel from `TYPE.size()` bytes.
    fn from_bytes(bytes: &[u8], order: ByteOrder) -> Self;
    /// Appends one voxel.
    fn append_bytes(self, order: ByteOrder, out: &mut Vec<u8>);
    /// The nearest f64: exact but for 64-bit integers beyond 2^53.
    fn as_f64(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! voxel {
    ($($number:ty => $kind:ident),*) => {$(
        impl sealed::Sealed for $number {}
        impl Voxel for $number {
            const TYPE: VoxelType = VoxelType::$kind;
            fn from_bytes(bytes: &[u8], order: ByteOrder) -> Self {
                let bytes = bytes.try_into().expect("the caller cuts pieces of the type's size");
                match order {
                    ByteOrder::Little => Self::from_le_bytes(bytes),
                    ByteOrder::Big => Self::from_be_bytes(bytes),
                }
            }
            fn append_bytes(self, order: ByteOrder, out: &mut Vec<u8>) {
                match order {
                    ByteOrder::Little => out.extend_from_slice(&self.to_le_bytes()),
                    ByteOrder::Big => out.extend_from_slice(&self.to_be_bytes()),
                }
            }
            fn as_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

voxel!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);
