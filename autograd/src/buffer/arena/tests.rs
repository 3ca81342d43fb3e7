use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_part_has_room_for_what_was_asked_for_and_wastes_less_than_a_grain(bytes in 1usize..1 << 40) {
        let part = Arena::rounded(bytes);
        prop_assert!(part.is_multiple_of(GRAIN) && part >= bytes && part - bytes < GRAIN);
    }

    #[test]
    fn parts_never_overlap_and_all_join_again(
        sizes in prop::collection::vec(1usize..6, 1..40), order in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut arena = Arena::new();
        // Two blocks that happen to be neighbours.
        let blocks = [(GRAIN, 32 * GRAIN), (33 * GRAIN, 16 * GRAIN)];
        for (start, len) in blocks {
            arena.add(start, len);
            arena.put(start, len);
        }
        let mut held: Vec<(usize, usize)> = vec![];
        for (size, pick) in sizes.iter().zip(&order) {
            let bytes = size * GRAIN;
            if let Some(start) = arena.take(bytes) {
                let inside = |(from, len): (usize, usize)| start >= from && start + bytes <= from + len;
                prop_assert!(blocks.into_iter().any(inside), "a part is inside one block");
                prop_assert!(held.iter().all(|(other, len)| start + bytes <= *other || other + len <= start));
                held.push((start, bytes));
            } else {
                let (start, bytes) = held.swap_remove(pick.index(held.len()));
                arena.put(start, bytes);
            }
        }
        for (start, bytes) in held {
            arena.put(start, bytes);
        }
        prop_assert_eq!(arena.remove_unused(), Some(blocks[0]));
        prop_assert_eq!(arena.remove_unused(), Some(blocks[1]));
        prop_assert_eq!(arena.remove_unused(), None);
    }
}
