//! Names that differ in their first word, as public data sets have them: `img0001` and `label0001`, `volume-0` and
//! `segmentation-0`.

use std::collections::BTreeMap;

/// What names of images begin with where those of masks do not.
const IMAGES: [&str; 6] = ["image", "img", "volume", "vol", "scan", "case"];
/// What names of masks begin with where those of images do not.
const MASKS: [&str; 4] = ["label", "mask", "seg", "segmentation"];

/// Whether a name begins as those of masks.
pub(super) fn is_mask(name: &str) -> bool {
    after(name, &MASKS).is_some()
}

/// What an image shares with its mask.
fn of_image(name: &str) -> &str {
    after(name, &IMAGES).unwrap_or(name)
}

/// What a mask shares with its image; `bare` is its name without a suffix, where it has one.
fn of_mask<'a>(name: &'a str, bare: Option<&'a str>) -> &'a str {
    after(name, &MASKS).or(bare).unwrap_or(name)
}

/// What follows one of `words`: a number, or anything behind `_`, `-` or `.`.
fn after<'a>(name: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let (head, rest) = name.split_at_checked(word.len())?;
        let rest = if rest.starts_with(|c: char| c.is_ascii_digit()) {
            rest
        } else {
            rest.strip_prefix(['_', '-', '.'])?
        };
        (head.eq_ignore_ascii_case(word) && !rest.is_empty()).then_some(rest)
    })
}

/// The mask of each image that shares its name but for the first words, where no other image or mask does. Masks are
/// (name, name without suffix, what is to be found).
pub(super) fn counterparts<'i, 'm, T: Copy>(
    images: impl Iterator<Item = &'i str>,
    masks: impl Iterator<Item = (&'m str, Option<&'m str>, T)>,
) -> BTreeMap<&'i str, T> {
    let mut shared: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    masks.for_each(|(name, bare, mask)| shared.entry(of_mask(name, bare)).or_default().push(mask));
    let mut alike: BTreeMap<&str, Vec<&'i str>> = BTreeMap::new();
    images.for_each(|name| alike.entry(of_image(name)).or_default().push(name));
    let pair = |(key, names): (&str, Vec<&'i str>)| match (names.as_slice(), shared.get(key)?.as_slice()) {
        (&[name], &[mask]) => Some((name, mask)),
        _ => None,
    };
    alike.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_ends_at_a_number_or_a_separator() {
        for (name, rest) in [
            ("img0001", Some("0001")),
            ("IMG_0001", Some("0001")),
            ("volume-0", Some("0")),
            ("vol.a", Some("a")),
            ("image_a_b", Some("a_b")),
            ("imagery", None),
            ("scanner1", None),
            ("case", None),
            ("case_", None),
            ("écase1", None),
        ] {
            assert_eq!(after(name, &IMAGES), rest, "{name}");
        }
        assert_eq!(after("segmentation-0", &MASKS), Some("0"));
        assert!(is_mask("Seg1") && !is_mask("segment1") && !is_mask("a_seg"));
    }
}
