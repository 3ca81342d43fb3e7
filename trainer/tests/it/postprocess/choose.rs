//! Laws of what is chosen on validation cases.

use metrics::{BinaryCounts, Mean};
use proptest::prelude::*;
use trainer::dataset::IGNORE;
use trainer::predict::{Asked, ByClass, Candidates, Choice, ClassChoice, FEW_GAIN, PostProcessing};

use super::{Place, applied, masks, settings};

const SHAPE: Place = [3, 24, 40];

fn names(classes: usize) -> Vec<String> {
    ["lesion", "vessel", "bone"][..classes].iter().map(|&name| name.to_owned()).collect()
}

/// A mask of boxes: class, first voxel, size.
fn boxes(all: &[(u8, Place, Place)]) -> Vec<u8> {
    let mut mask = vec![0; SHAPE.iter().product()];
    for &(class, [d0, h0, w0], [d, h, w]) in all {
        for at in
            (d0..d0 + d).flat_map(|d| (h0..h0 + h).flat_map(move |h| (w0..w0 + w).map(move |w| [d, h, w])))
        {
            mask[(at[0] * SHAPE[1] + at[1]) * SHAPE[2] + at[2]] = class;
        }
    }
    mask
}

/// The choice for masks and labels of [`SHAPE`].
fn chosen(asked: Asked, classes: usize, cases: &[(Vec<u8>, Vec<u8>)]) -> Choice {
    let mut candidates = Candidates::new(&asked, &names(classes));
    for (index, (mask, labels)) in cases.iter().enumerate() {
        candidates.add(&format!("case_{index}"), mask, labels, SHAPE, 1.0);
    }
    candidates.choose().unwrap()
}

fn dice(mask: &[u8], labels: &[u8], class: u8) -> Option<f64> {
    let count = |is: fn(bool, bool) -> bool| {
        let counted = mask.iter().zip(labels).filter(|&(_, &l)| l != IGNORE);
        counted.filter(|&(&m, &l)| is(m == class, l == class)).count() as u64
    };
    let counts = BinaryCounts {
        true_positives: count(|m, l| m && l),
        false_positives: count(|m, l| m && !l),
        false_negatives: count(|m, l| !m && l),
        true_negatives: 0,
    };
    counts.dice()
}

/// What of a mask belongs to a class under a treatment that leaves the others as they are.
fn alone(treatment: PostProcessing, class: u8, mask: &[u8], shape: Place) -> Vec<u8> {
    let choice =
        |taken| ClassChoice { name: String::new(), taken, before: Mean::default(), after: Mean::default() };
    let of = |c: u8| choice(if c == class { treatment } else { PostProcessing::default() });
    let choice = Choice { cases: vec![], classes: (1..=3).map(of).collect() };
    let mut mask = mask.to_vec();
    ByClass::new(&names(3), &Asked::default(), &[Some(&choice)]).apply(&mut mask, shape);
    mask
}

/// All that is tried.
fn tried() -> Vec<PostProcessing> {
    let sizes = [0, 10, 30, 100, 300, 1000];
    let bools = [(false, false), (false, true), (true, false), (true, true)];
    let of = |min_component| {
        bools.map(|(keep_largest, fill_holes)| PostProcessing { min_component, keep_largest, fill_holes })
    };
    sizes.into_iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_taken_is_as_good_as_it_says_and_nothing_is_much_better(
        (shape, mask) in masks(),
        seed in prop::collection::vec((0u8..4, prop::bool::weighted(0.3)), 120),
    ) {
        // Labels are the mask with some voxels changed, a few of them to be ignored.
        let labels: Vec<u8> = mask
            .iter()
            .zip(seed.iter().cycle())
            .map(|(&m, &(class, changed))| if changed { [0, 1, 2, IGNORE][usize::from(class)] } else { m })
            .collect();
        let mut candidates = Candidates::new(&Asked::default(), &names(3));
        candidates.add("one", &mask, &labels, shape, 1.0);
        candidates.add("two", &labels.iter().map(|&l| l % IGNORE).collect::<Vec<_>>(), &labels, shape, 1.0);
        let choice = candidates.choose().unwrap();
        prop_assert_eq!(&choice.cases, &["one", "two"]);
        let second: Vec<u8> = labels.iter().map(|&l| l % IGNORE).collect();
        for (class, found) in (1..).zip(&choice.classes) {
            let mean = |treatment| {
                let of = |mask: &[u8]| dice(&alone(treatment, class, mask, shape), &labels, class);
                Mean::of([of(&mask), of(&second)])
            };
            prop_assert_eq!(found.before, mean(PostProcessing::default()));
            prop_assert_eq!(found.after, mean(found.taken));
            if let (Some(before), Some(after)) = (found.before.value, found.after.value) {
                prop_assert!(found.taken.is_off() == (after < before + FEW_GAIN), "{:?}", found);
                for other in tried() {
                    prop_assert!(mean(other).value.is_none_or(|v| v < after + FEW_GAIN), "{:?}: {:?}", other, found);
                }
            } else {
                prop_assert!(found.taken.is_off());
            }
        }
    }

    #[test]
    fn one_treatment_of_all_classes_is_that_of_each((shape, mask) in masks(), settings in settings()) {
        let asked = Asked {
            min_component: Some(settings.min_component),
            keep_largest: Some(settings.keep_largest),
            fill_holes: Some(settings.fill_holes),
        };
        prop_assert!(asked.is_settled());
        let all = ByClass::new(&names(3), &asked, &[None]);
        let mut found = mask.clone();
        all.apply(&mut found, shape);
        prop_assert_eq!(found, applied(settings, &mask, shape));
        prop_assert_eq!((all.to_string(), all.is_off()), (settings.to_string(), settings.is_off()));
    }
}

#[test]
fn where_one_organ_is_right_the_largest_component_is_kept() {
    let organ = (1, [0, 2, 2], [3, 16, 16]);
    // Falsely found beside it: larger than any size below which components are dropped.
    let cases: Vec<_> =
        (0..3).map(|i| (boxes(&[organ, (1, [0, 2, 20 + i], [2, 20, 16])]), boxes(&[organ]))).collect();
    let choice = chosen(Asked::default(), 1, &cases);
    let keep = PostProcessing { keep_largest: true, ..Default::default() };
    assert_eq!(choice.classes[0].taken, keep, "{choice}");
    assert_eq!((choice.classes[0].after.value, choice.classes[0].before.n), (Some(1.0), 3));
    let text = choice.to_string();
    let want = "post-processing was chosen on case_0, case_1, case_2:\n  lesion: only the largest component is kept: \
                mean Dice 1.0000, from 0.7059 over 3 cases";
    assert_eq!(text, want);
}

#[test]
fn where_several_lesions_are_right_specks_go_and_lesions_stay() {
    let lesions = [(1, [0, 1, 1], [3, 4, 4]), (1, [0, 10, 10], [2, 5, 4]), (1, [1, 18, 30], [2, 4, 6])];
    let labels = boxes(&lesions);
    let specks = [(1, [0, 22, 2], [1, 2, 2]), (1, [2, 3, 36], [1, 2, 4]), (1, [1, 12, 25], [1, 1, 3])];
    let mask = boxes(&[&lesions[..], &specks].concat());
    let choice = chosen(Asked::default(), 1, &vec![(mask, labels.clone()); 3]);
    assert_eq!(
        choice.classes[0].taken,
        PostProcessing { min_component: 10, ..Default::default() },
        "{choice}"
    );
    // Where all is right nothing is done.
    let choice = chosen(Asked::default(), 1, &vec![(labels.clone(), labels); 3]);
    assert!(choice.classes[0].taken.is_off());
    let want = "lesion: nothing, as no treatment raises its mean Dice of 1.0000 by 0.001 over 3 cases";
    assert!(choice.to_string().ends_with(want), "{choice}");
}

#[test]
fn classes_are_treated_each_in_its_own_way() {
    let (organ, far) = ((2, [0, 0, 0], [3, 12, 12]), (2, [0, 0, 20], [3, 11, 11]));
    let lesions = [(1, [0, 14, 2], [2, 6, 6]), (1, [0, 14, 20], [2, 8, 8])];
    // The third class has a hole that is none.
    let ring = [(3, [0, 14, 32], [3, 7, 7]), (0, [1, 16, 34], [1, 3, 3])];
    let labels = boxes(&[&lesions[..], &[organ, ring[0]]].concat());
    let mask = boxes(&[&lesions[..], &[organ, far], &ring].concat());
    let choice = chosen(Asked::default(), 3, &[(mask.clone(), labels.clone())]);
    let taken: Vec<PostProcessing> = choice.classes.iter().map(|class| class.taken).collect();
    let off = PostProcessing::default();
    let keep = PostProcessing { keep_largest: true, ..off };
    assert_eq!(taken, [off, keep, PostProcessing { fill_holes: true, ..off }], "{choice}");
    let all = ByClass::new(&names(3), &Asked::default(), &[Some(&choice)]);
    let mut treated = mask.clone();
    all.apply(&mut treated, SHAPE);
    assert_eq!(treated, labels);
    let want =
        "lesion is as predicted; of vessel only the largest component is kept; of bone holes are filled";
    assert_eq!(all.to_string(), want);

    // What is asked for is done, whatever was chosen; the rest is measured with it.
    let asked = Asked { keep_largest: Some(false), ..Asked::default() };
    let choice = chosen(asked, 3, &[(mask.clone(), labels)]);
    assert!(choice.classes.iter().all(|class| !class.taken.keep_largest), "{choice}");
    let asked = Asked { keep_largest: Some(true), fill_holes: Some(false), ..asked };
    let all = ByClass::new(&names(3), &asked, &[Some(&choice)]);
    let mut treated = mask.clone();
    all.apply(&mut treated, SHAPE);
    assert_eq!(treated, applied(keep, &mask, SHAPE));
}

/// Twice as many voxels along each axis are eight times as many.
#[test]
fn a_size_that_was_chosen_follows_the_grid_and_one_that_was_given_does_not() {
    let class = |taken| {
        let mean = Mean { value: Some(0.5), n: 1, undefined: 0 };
        ClassChoice { name: "lesion".into(), taken, before: mean, after: mean }
    };
    let taken = PostProcessing { min_component: 5, ..PostProcessing::default() };
    let choice = Choice { cases: vec!["a".into()], classes: vec![class(taken)] };
    // 2 x 4 x 4 = 32 voxels, and 3 x 4 x 4 = 48.
    let mask = boxes(&[(1, [0, 0, 0], [2, 4, 4]), (1, [0, 0, 10], [3, 4, 4])]);
    let left = |asked: Asked, ratio: f64| {
        let mut mask = mask.clone();
        ByClass::new(&names(1), &asked, &[Some(&choice)]).on_grid(ratio).apply(&mut mask, SHAPE);
        mask.iter().filter(|&&m| m > 0).count()
    };
    assert_eq!(left(Asked::default(), 1.0), 80);
    assert_eq!(left(Asked::default(), 8.0), 48);
    assert_eq!(left(Asked { min_component: Some(5), ..Asked::default() }, 8.0), 80);
}

#[test]
fn a_ring_in_one_of_several_planes_encloses_nothing() {
    let disc = (1, [1, 2, 2], [1, 9, 9]);
    let mask = boxes(&[disc, (0, [1, 4, 4], [1, 5, 5])]);
    let choice = chosen(Asked::default(), 1, &[(mask, boxes(&[disc]))]);
    assert!(choice.classes[0].taken.is_off(), "{choice}");
}

#[test]
fn a_case_without_the_class_counts_only_while_it_is_predicted() {
    let lesion = (1, [0, 4, 4], [3, 6, 6]);
    let (with, none) = (boxes(&[lesion]), boxes(&[]));
    let speck = boxes(&[(1, [1, 20, 20], [1, 2, 2])]);
    let choice = chosen(Asked::default(), 2, &[(with.clone(), with), (speck, none)]);
    let [lesion, vessel] = choice.classes.as_slice() else { panic!("{choice}") };
    assert_eq!(lesion.taken, PostProcessing { min_component: 10, ..Default::default() });
    assert_eq!(lesion.before, Mean { value: Some(0.5), n: 2, undefined: 0 });
    assert_eq!(lesion.after, Mean { value: Some(1.0), n: 1, undefined: 1 });
    assert!(vessel.taken.is_off() && vessel.before.value.is_none());
}

#[test]
fn less_than_a_thousandth_is_not_worth_a_step() {
    // A box of 1152 voxels and a speck of s beside it: the Dice is 2304 / (2304 + s).
    let organ = (1, [0, 0, 0], [3, 16, 24]);
    let with = |speck: usize, cases: usize| {
        let case = (boxes(&[organ, (1, [0, 20, 0], [1, 1, speck])]), boxes(&[organ]));
        chosen(Asked::default(), 1, &vec![case; cases]).classes[0].taken
    };
    assert!(with(2, 3).is_off());
    // On few cases it takes two hundredths.
    assert!(with(3, 2).is_off());
    assert_eq!(with(3, 3), PostProcessing { min_component: 10, ..Default::default() });
}

#[test]
fn without_cases_nothing_is_chosen_and_runs_that_differ_do_what_all_do() {
    assert_eq!(Candidates::new(&Asked::default(), &names(1)).choose(), None);
    let choice = |taken| {
        let mean = Mean::default();
        let class = ClassChoice { name: "lesion".into(), taken, before: mean, after: mean };
        Choice { cases: vec![], classes: vec![class] }
    };
    let a = choice(PostProcessing { min_component: 30, keep_largest: true, fill_holes: true });
    let b = choice(PostProcessing { min_component: 100, keep_largest: false, fill_holes: true });
    let both = ByClass::new(&names(1), &Asked::default(), &[Some(&a), Some(&b)]);
    let want = PostProcessing { min_component: 30, keep_largest: false, fill_holes: true };
    assert_eq!(both.to_string(), want.to_string());
    for choices in [&[Some(&a), None][..], &[None], &[]] {
        assert!(ByClass::new(&names(1), &Asked::default(), choices).is_off());
    }
}

#[test]
fn nothing_is_chosen_for_a_class_that_was_not_learnt() {
    let (organ, other) = ((1, [0, 0, 0], [3, 16, 12]), (2, [0, 0, 14], [3, 16, 10]));
    let specks = [(1, [0, 20, 0], [1, 1, 6]), (2, [0, 20, 20], [1, 1, 6])];
    let (mask, labels) = (boxes(&[organ, other, specks[0], specks[1]]), boxes(&[organ, other]));
    let taken = |asked: Asked, learnt: [bool; 2]| {
        let mut candidates = Candidates::new(&asked, &names(2)).of_learnt(&learnt);
        (0..3).for_each(|case| candidates.add(&format!("case_{case}"), &mask, &labels, SHAPE, 1.0));
        let choice = candidates.choose().unwrap();
        (choice.to_string(), [0, 1].map(|class: usize| choice.classes[class].taken))
    };
    let (_, both) = taken(Asked::default(), [true, true]);
    assert!(!both[0].is_off() && !both[1].is_off());
    let (said, one) = taken(Asked::default(), [true, false]);
    assert_eq!((one[0], one[1].is_off()), (both[0], true));
    assert!(said.ends_with("\n  vessel: nothing, as no case tells what would be better"), "{said}");
    let asked = Asked { fill_holes: Some(true), ..Asked::default() };
    let (said, one) = taken(asked, [true, false]);
    assert_eq!(one[1], PostProcessing { fill_holes: true, ..Default::default() });
    assert!(said.ends_with(", as asked for") && !said.contains("undefined"), "{said}");
}
