//! The names of compressions that TIFF files may have.
//!
//! # Source
//! TIFF 6.0, section 3; `libtiff/tiff.h`; the tables of tifffile.

/// What to say of a compression that is not supported; `None` where it is.
pub(super) fn refusal(compression: u64) -> Option<String> {
    let name = match compression {
        // None, LZW, Deflate by either number, PackBits.
        1 | 5 | 8 | 32946 | 32773 => return None,
        2 | 32771 => "CCITT Huffman",
        3 | 32895 => "CCITT Group 3",
        4 => "CCITT Group 4",
        6 => "old JPEG",
        7 | 33007 | 34892 => "JPEG",
        9 | 10 => "JBIG",
        32766 => "NeXT",
        32809 => "ThunderScan",
        32908 | 32909 => "PixarFilm or PixarLog",
        33003 | 33004 | 33005 | 34712 | 34713 => "JPEG 2000",
        34661 => "JBIG",
        34676 | 34677 => "SGI LogLuv",
        34887 => "LERC",
        34925 => "LZMA",
        22610 | 34934 => "JPEG XR",
        34926 | 50000 => "ZSTD",
        34927 | 50001 => "WebP",
        50002 | 52546 => "JPEG XL",
        50013 => "PIXTIFF",
        65000 => "EER",
        _ => "",
    };
    let name = if name.is_empty() { format!("method {compression}") } else { name.to_owned() };
    Some(format!("is compressed by {name}, which is not supported; save it with Deflate, LZW or none"))
}
