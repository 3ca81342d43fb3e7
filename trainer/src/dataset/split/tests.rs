use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::dataset::Description;

/// A data set of so many training cases, `c0`, `c1`, …, whose files nobody opens.
fn dataset(folder: &Path, cases: usize) -> Dataset {
    let description = Description {
        name: String::new(),
        channel_names: vec!["T1".into()],
        classes: ["background", "lesion"].map(str::to_owned).into(),
        ignore: None,
        joined_up_to: None,
        file_ending: ".nii.gz".into(),
    };
    let case = |i| CaseFiles { name: format!("c{i:02}"), images: Vec::new(), label: None };
    let (path, training) = (folder.to_owned(), (0..cases).map(case).collect());
    Dataset { path, description, training, test: Vec::new(), headers: Vec::new(), notes: Vec::new() }
}

/// A configuration with this fold, number of folds and seed.
fn config(fold: usize, folds: Option<usize>, seed: u64) -> Config {
    let mut config = Config::default();
    config.training.seed = seed;
    config.validation.fold = fold;
    config.validation.folds = folds.map_or(Auto::Word(Word::Auto), Auto::Value);
    config
}

fn split(cases: usize, config: &Config) -> Result<CrossValidation> {
    CrossValidation::new(&dataset(Path::new("nowhere"), cases), config)
}

#[test]
fn without_further_words_a_fifth_is_held_out_or_one_of_few() {
    for (cases, held_out) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2), (10, 2), (23, 5)] {
        for seed in 0..4 {
            let folds = split(cases, &config(0, None, seed)).unwrap();
            let FoldCases { training, validation } = folds.cases().clone();
            assert_eq!(validation.len(), held_out, "{cases} cases");
            assert_eq!(folds.fold().is_some(), held_out > 0);
            let mut all = [training, validation].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..cases));
        }
    }
}

/// Runs of before go on with the cases that they began with.
#[test]
fn fold_0_is_the_head_of_the_shuffled_cases() {
    for cases in [2, 3, 4, 5, 6, 9, 10, 11, 23] {
        for seed in 0..8 {
            let mut order: Vec<usize> = (0..cases).collect();
            order.shuffle(&mut generator(seed, Purpose::Split, 0));
            let mut head = order[..cases.div_ceil(FOLDS.min(cases))].to_vec();
            head.sort_unstable();
            assert_eq!(split(cases, &config(0, None, seed)).unwrap().cases().validation, head);
        }
    }
    let held_out = |fold| split(7, &config(fold, Some(3), 0)).unwrap().cases().validation.clone();
    assert_eq!([0, 1, 2].map(held_out), [vec![0, 5, 6], vec![2, 3], vec![1, 4]]);
}

#[test]
fn folds_that_there_are_not_are_named_with_those_that_there_are() {
    let error = |fold, folds, cases| split(cases, &config(fold, folds, 0)).unwrap_err().to_string();
    let beyond = error(5, None, 9);
    assert!(beyond.contains("validation.fold: is 5, but there are 5 folds: --fold takes 0 to 4"), "{beyond}");
    assert!(error(3, None, 3).contains("is 3, but there are 3 folds: --fold takes 0 to 2"));
    assert!(error(0, Some(7), 3).contains("is 7 for 3 training cases: --folds takes 2 to 3 here"));
    assert!(error(0, Some(1), 3).contains("is 1 for 3 training cases: --folds takes 2 to 3 here"));
    assert!(error(0, Some(2), 1).contains("is 2 for 1 training case: one case has no folds"));
    assert!(error(1, None, 1).contains("a single case has no folds: leave --fold out"));
    let mut none = config(1, None, 0);
    none.validation.split = Word::None;
    assert!(split(9, &none).unwrap_err().to_string().contains("validation.split: is \"none\""));
    none.validation.fold = 0;
    assert_eq!(split(9, &none).unwrap().fold(), None);
    none.validation.groups = NamedFile::Path("groups.csv".into());
    assert!(split(9, &none).unwrap_err().to_string().contains("validation.split: is \"none\""));
}

/// The folds of a folder that holds `splits_final.json` and perhaps `groups.csv`.
fn written(splits: &str, groups: Option<&str>, cases: usize) -> Result<CrossValidation> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(SPLITS), splits).unwrap();
    let mut config = config(0, None, 0);
    if let Some(groups) = groups {
        fs::write(folder.path().join("groups.csv"), groups).unwrap();
        config.validation.groups = NamedFile::Path("groups.csv".into());
    }
    CrossValidation::new(&dataset(folder.path(), cases), &config)
}

#[test]
fn a_file_of_folds_is_taken_as_it_is_written() {
    let text = r#"[{"train": ["c02", "c00"], "val": ["c01"]}, {"val": ["c02", "c01"], "train": ["c00"], "note": 1}]"#;
    let folds = written(text, None, 4).unwrap();
    let fold = |training: &[usize], validation: &[usize]| FoldCases {
        training: training.to_vec(),
        validation: validation.to_vec(),
    };
    assert_eq!(folds.folds(), [fold(&[0, 2], &[1]), fold(&[0], &[1, 2])]);
    assert_eq!(folds.fold(), Some(Fold { index: 0, of: 2 }));
    let names = dataset(Path::new(""), 4).training;
    assert_eq!(
        folds.notes(&names),
        [
            "folds are those of splits_final.json",
            "fold 0 of splits_final.json leaves out c03",
            "fold 1 of splits_final.json leaves out c03"
        ]
    );
}

#[test]
fn every_fault_of_a_file_of_folds_names_file_fold_and_case() {
    for (text, want) in [
        ("{}", &["splits_final.json: is no list of folds (", "write [{\"train\""][..]),
        ("[]", &["holds no fold"]),
        (r#"[{"train": ["c00"]}]"#, &["fold 0 is no train and val (missing field `val`)"]),
        (r#"[{"train": ["c00"], "val": []}]"#, &["fold 0 names no case under \"val\""]),
        (
            r#"[{"train": ["c00"], "val": ["c01"]}, {"train": ["c00", "c07"], "val": ["c01"]}]"#,
            &["fold 1 names c07 under \"train\", which is no training case"],
        ),
        (
            r#"[{"train": ["c00", "c01"], "val": ["c01"]}]"#,
            &["fold 0 trains on c01 and validates on it; take it out of one of the two lists"],
        ),
        (
            r#"[{"train": ["c00", "c00"], "val": ["c01", "x"]}]"#,
            &["fold 0 names c00 twice under \"train\"", "fold 0 names x under \"val\""],
        ),
    ] {
        let error = written(text, None, 3).unwrap_err().to_string();
        for part in want {
            assert!(error.contains(part) && error.contains("splits_final.json"), "{part}: {error}");
        }
    }
}

#[test]
fn the_file_decides_how_many_folds_there_are_unless_it_is_not_to_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"[{"train": ["c00", "c01"], "val": ["c02"]}, {"train": ["c02"], "val": ["c00"]}]"#;
    fs::write(folder.path().join("mine.json"), text).unwrap();
    let folds = |config: &Config| CrossValidation::new(&dataset(folder.path(), 3), config);
    // By another name it must be named.
    assert_eq!(folds(&config(0, None, 0)).unwrap().folds().len(), 3);
    let named = |fold, of| {
        let mut config = config(fold, of, 0);
        config.validation.splits = NamedFile::Path("mine.json".into());
        config
    };
    assert_eq!(folds(&named(1, Some(2))).unwrap().cases().validation, [0]);
    let error = folds(&named(0, Some(5))).unwrap_err().to_string();
    assert!(error.contains("validation.folds: is 5, but") && error.contains("has 2 folds"), "{error}");
    let error = folds(&named(2, None)).unwrap_err().to_string();
    assert!(error.contains("validation.fold: is 2, but there are 2 folds"), "{error}");
    fs::rename(folder.path().join("mine.json"), folder.path().join(SPLITS)).unwrap();
    assert_eq!(folds(&config(0, None, 0)).unwrap().folds().len(), 2);
    let mut unused = config(0, None, 0);
    unused.validation.splits = NamedFile::None;
    assert_eq!(folds(&unused).unwrap(), split(3, &config(0, None, 0)).unwrap());
    let error = folds(&named(0, None)).unwrap_err().to_string();
    assert!(error.contains("mine.json: cannot be read"), "{error}");
}

#[test]
fn a_file_of_folds_that_divides_a_group_is_refused() {
    let table = "case,group\nc00,p\nc01,q\nc02,p\n";
    let apart = r#"[{"train": ["c01"], "val": ["c00", "c02"]}, {"train": ["c00"], "val": ["c01"]}]"#;
    assert_eq!(written(apart, Some(table), 3).unwrap().folds().len(), 2);
    let leak = r#"[{"train": ["c01"], "val": ["c00"]}, {"train": ["c00", "c01"], "val": ["c02"]}]"#;
    let error = written(leak, Some(table), 3).unwrap_err().to_string();
    for part in ["fold 1 trains on c00 and validates on c02", "both of the group p in", "groups.csv"] {
        assert!(error.contains(part), "{error}");
    }
}

/// The folds that a table of groups leads to.
fn grouped(table: &str, cases: usize, config: Config) -> Result<CrossValidation> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("groups.csv"), table).unwrap();
    let mut config = config;
    config.validation.groups = NamedFile::Path("groups.csv".into());
    CrossValidation::new(&dataset(folder.path(), cases), &config)
}

#[test]
fn a_table_of_groups_names_each_case_once_and_no_other() {
    for (table, want) in [
        ("case,site\nc00,a\n", "has no column group: its columns are case, site; the first line is such as"),
        ("case,group,group\n", "has two columns group"),
        ("case,group\nc00,a\nc01,b\n", "has no group for c02: add a line"),
        (
            "case,group\nc00,a\nc01,b\nc02,b\nc03,b\n",
            "line 5: \"c03\" is no case of the data set; write it as",
        ),
        ("case,group\nc00,a\nc01,b\nc02,\n", "line 4: c02 has no group; name one"),
        ("case,group\nc00,a\nc01,b\nc02,b\nc00,b\n", "line 5: c00 has a line already"),
        ("case,group\nc00,a\nc01\nc02,b\n", "line: 3"),
        ("case,group\nc00,a\nc01,a\nc02,a\n", "puts all training cases into the group a"),
    ] {
        let error = grouped(table, 3, config(0, None, 0)).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("groups.csv"), "{want}: {error}");
    }
    let few = grouped("GROUP;case\na;c00\nb;c01\nb;c02\n", 3, config(0, Some(3), 0)).unwrap_err().to_string();
    assert!(
        few.contains("validation.folds: is 3 for 2 groups of") && few.contains("--folds takes 2 here"),
        "{few}"
    );
    let folds = grouped("GROUP;case\na;c00\nb;c01\nb;c02\n", 3, config(0, None, 0)).unwrap();
    assert_eq!(folds.notes(&[]), ["no fold divides one of the 2 groups of groups.csv"]);
}

proptest! {
    #[test]
    fn every_case_is_held_out_by_exactly_one_fold(cases in 2usize..60, of in 2usize..12, seed: u64) {
        let of = of.min(cases);
        let folds = split(cases, &config(0, Some(of), seed)).unwrap();
        let sizes: Vec<usize> = folds.folds().iter().map(|fold| fold.validation.len()).collect();
        prop_assert!(is_partition(folds.folds(), cases));
        prop_assert_eq!(sizes.len(), of);
        prop_assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[0] - sizes[of - 1] <= 1, "{sizes:?}");
    }

    #[test]
    fn a_class_is_warned_of_exactly_where_a_fold_lacks_it_on_a_side(
        cases in prop::collection::vec(prop::collection::vec(1usize..4, 0..3), 2..12),
        of in 2usize..5,
        seed: u64,
    ) {
        let names = ["background", "x1", "x2", "x3"].map(str::to_owned);
        let folds = split(cases.len(), &config(0, Some(of.min(cases.len())), seed)).unwrap();
        let counted = with_classes(&cases, 4);
        let by_fold = ClassesByFold::new(&folds, &counted, &names);
        let (learnt, warnings) = (by_fold.learnt(), by_fold.warnings());
        for class in 1..4 {
            let has = |side: &[usize]| side.iter().any(|&case| cases[case].contains(&class));
            let trained = folds.folds().iter().all(|fold| has(&fold.training));
            let validated = folds.folds().iter().all(|fold| has(&fold.validation));
            prop_assert_eq!(learnt[class], trained);
            let said = warnings.iter().find(|line| line.starts_with(&format!("class x{class} ")));
            prop_assert_eq!(said.is_some(), !(trained && validated), "{:?}", warnings);
            prop_assert_eq!(said.is_some_and(|line| line.contains("cannot be learnt")), !trained);
        }
    }

    #[test]
    fn groups_stay_together_in_folds_that_differ_by_the_largest_group_at_most(
        groups in prop::collection::vec(0usize..12, 2..60),
        of in 2usize..6,
        seed: u64,
        by in any::<prop::sample::Index>(),
    ) {
        let mut sizes = BTreeMap::<usize, usize>::new();
        groups.iter().for_each(|&group| *sizes.entry(group).or_default() += 1);
        prop_assume!(sizes.len() >= of);
        let mut lines: Vec<String> = groups.iter().enumerate().map(|(i, g)| format!("c{i:02},{g}\n")).collect();
        let table = |lines: &[String]| format!("case,group\n{}", lines.concat());
        let folds = grouped(&table(&lines), groups.len(), config(0, Some(of), seed)).unwrap();
        prop_assert!(is_partition(folds.folds(), groups.len()));
        for fold in folds.folds() {
            let trained = |&i: &usize| fold.training.iter().any(|&j| groups[i] == groups[j]);
            prop_assert!(!fold.validation.is_empty() && !fold.validation.iter().any(trained));
        }
        let held_out = folds.folds().iter().map(|fold| fold.validation.len());
        let (least, most) = (held_out.clone().min().unwrap(), held_out.max().unwrap());
        prop_assert!(most - least <= *sizes.values().max().unwrap());
        // The order of the lines means nothing.
        let at = by.index(lines.len());
        lines.rotate_left(at);
        let again = grouped(&table(&lines), groups.len(), config(0, Some(of), seed)).unwrap();
        prop_assert_eq!(again.folds(), folds.folds());
    }
}

/// Cases that have these classes, besides the background.
fn with_classes(cases: &[Vec<usize>], classes: usize) -> Vec<CaseClasses> {
    let voxels = |held: &Vec<usize>| (0..classes).map(|c| u64::from(c == 0 || held.contains(&c))).collect();
    let case = |(i, held)| CaseClasses { name: format!("c{i:02}"), voxels: voxels(held) };
    cases.iter().enumerate().map(case).collect()
}

#[test]
fn a_fold_that_holds_out_the_only_foreground_is_refused_by_its_number_and_the_case() {
    let names = ["background", "lesion"].map(str::to_owned);
    let folds = split(6, &config(0, None, 0)).unwrap();
    let holder = folds.folds().iter().position(|fold| fold.validation.contains(&2)).unwrap();
    let cases: Vec<Vec<usize>> = (0..6).map(|i| if i == 2 { vec![1] } else { Vec::new() }).collect();
    let cases = with_classes(&cases, 2);
    let by_fold = ClassesByFold::new(&folds, &cases, &names);
    let error = by_fold.check().unwrap_err().to_string();
    let sentence =
        format!("fold {holder} holds out c02, the only case with foreground: nothing would be left to learn");
    assert!(error.starts_with(&sentence) && error.contains("--fold K"), "{error}");
    let warnings = by_fold.warnings();
    assert_eq!(warnings[0], sentence);
    assert!(
        warnings[1].starts_with(&format!(
            "class lesion occurs in c02 alone: no training case of fold {holder} holds it"
        )),
        "{warnings:?}"
    );
    for index in 0..5 {
        let only = by_fold.only(Some(Fold { index, of: 5 }));
        assert_eq!(only.check().is_err(), index == holder);
    }
    // Where no case has it, the folds are not to blame.
    let none = with_classes(&vec![Vec::new(); 6], 2);
    let by_fold = ClassesByFold::new(&folds, &none, &names);
    by_fold.check().unwrap();
    assert_eq!(
        by_fold.warnings(),
        ["class lesion occurs in no case: it cannot be learnt, and its Dice says nothing"]
    );
    assert!(by_fold.warnings_of_folds().is_empty());
}

#[test]
fn foreground_that_a_fold_leaves_out_is_named() {
    let names = ["background", "lesion"].map(str::to_owned);
    let cases = with_classes(&[Vec::new(), Vec::new(), vec![1]], 2);
    let [empty, other] = [&cases[..1], &cases[1..2]];
    let error = ClassesByFold::of_one(Some(Fold { index: 4, of: 5 }), [empty, other, &cases[2..]], &names);
    let error = error.check().unwrap_err().to_string();
    assert!(error.starts_with("fold 4 trains on no case with foreground, which c02 has: nothing"), "{error}");
}

/// Whether each case is held out by one fold, and trained on by all others.
fn is_partition(folds: &[FoldCases], cases: usize) -> bool {
    let mut held_out = vec![0; cases];
    for FoldCases { training, validation } in folds {
        validation.iter().for_each(|&i| held_out[i] += 1);
        let mut all = [&training[..], validation].concat();
        all.sort_unstable();
        if !(training.is_sorted() && validation.is_sorted() && all.into_iter().eq(0..cases)) {
            return false;
        }
    }
    held_out.iter().all(|&times| times == 1)
}
