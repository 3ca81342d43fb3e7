//! Which classes each fold has to train on and to validate on, known before anything is trained.

use rayon::prelude::*;
use volumes::{Role, Stored};

use super::{CrossValidation, Fold};
use crate::dataset::notes::some;
use crate::dataset::survey::{label_counts, labels};
use crate::dataset::{CaseFiles, Description};
use crate::{Error, Result};

/// So many cases are named that have a class; of more their number is said.
const FEW: usize = 5;

/// A case's voxels of each class; those that are ignored count nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseClasses {
    /// The case's name.
    pub name: String,
    /// By class, the background first.
    pub voxels: Vec<u64>,
}

impl CaseClasses {
    /// Counts in the label maps alone, in parallel: each thread holds one at a time.
    ///
    /// # Errors
    /// A label map that cannot be read, or holds what is no class.
    pub fn read<'f>(
        cases: impl IntoIterator<Item = &'f CaseFiles>,
        description: &Description,
    ) -> Result<Vec<Self>> {
        let voxels = |case: &CaseFiles| -> Result<Vec<u64>> {
            let Some(path) = &case.label else { return Ok(vec![0; description.num_classes()]) };
            let labels = labels(&Stored::read_as(path, Role::Mask)?, &case.name, description)?;
            Ok(label_counts(&labels)[..description.num_classes()].to_vec())
        };
        let count = |case: &CaseFiles| {
            let voxels = memory::within(|| voxels(case)).map_err(|error| error.of_case(&case.name))?;
            Ok(Self { name: case.name.clone(), voxels })
        };
        // Collected whole, so that the error is that of the first case for any number of threads.
        let cases: Vec<&CaseFiles> = cases.into_iter().collect();
        let counted: Vec<Result<Self>> = cases.into_par_iter().map(count).collect();
        counted.into_iter().collect()
    }

    fn has(&self, class: usize) -> bool {
        self.voxels[class] > 0
    }

    fn has_foreground(&self) -> bool {
        self.voxels[1..].iter().any(|&n| n > 0)
    }

    fn has_background(&self) -> bool {
        self.has(0)
    }
}

/// The classes of the cases of some folds.
#[derive(Clone, Debug)]
pub struct ClassesByFold<'a> {
    classes: &'a [String],
    folds: Vec<Sides<'a>>,
    /// All there are, whether or not a fold has them.
    cases: Vec<&'a CaseClasses>,
}

/// The cases on the two sides of a fold.
#[derive(Clone, Debug)]
struct Sides<'a> {
    /// Where no fold is held out there is none.
    fold: Option<usize>,
    training: Vec<&'a CaseClasses>,
    validation: Vec<&'a CaseClasses>,
}

impl<'a> ClassesByFold<'a> {
    /// Of all folds; `cases` are the data set's training cases, and `classes` their classes' names, background first.
    pub fn new(folds: &CrossValidation, cases: &'a [CaseClasses], classes: &'a [String]) -> Self {
        let is_held_out = folds.fold().is_some();
        let sides = folds.folds().iter().enumerate().map(|(index, fold)| {
            let (training, validation) = fold.divide(cases);
            Sides { fold: is_held_out.then_some(index), training, validation }
        });
        Self { classes, folds: sides.collect(), cases: cases.iter().collect() }
    }

    /// Of one fold, or of cases that no fold divides; `left_out` are those that are on neither side.
    pub fn of_one(
        fold: Option<Fold>,
        [training, validation, left_out]: [&'a [CaseClasses]; 3],
        classes: &'a [String],
    ) -> Self {
        let cases = training.iter().chain(validation).chain(left_out).collect();
        let (training, validation) = (training.iter().collect(), validation.iter().collect());
        let sides = Sides { fold: fold.map(|fold| fold.index), training, validation };
        Self { classes, folds: vec![sides], cases }
    }

    /// Those of one of the folds.
    #[must_use]
    pub fn only(&self, fold: Option<Fold>) -> Self {
        let is_it = |sides: &&Sides<'a>| sides.fold == fold.map(|fold| fold.index);
        Self { folds: self.folds.iter().filter(is_it).cloned().collect(), ..self.clone() }
    }

    /// Of each class, the background among them, whether every fold has a voxel of it to train on.
    pub fn learnt(&self) -> Vec<bool> {
        let in_every_fold =
            |class| self.folds.iter().all(|sides| sides.training.iter().any(|c| c.has(class)));
        (0..self.classes.len()).map(in_every_fold).collect()
    }

    /// What is to be said: of foreground classes that no case has, and of the folds.
    pub fn warnings(&self) -> Vec<String> {
        let absent = (1..self.classes.len()).filter(|&class| self.cases.iter().all(|case| !case.has(class)));
        let absent = absent.map(|class| {
            format!(
                "class {} occurs in no case: it cannot be learnt, and its Dice says nothing",
                self.classes[class]
            )
        });
        absent.chain(self.warnings_of_folds()).collect()
    }

    /// What is to be said of folds that have nothing to learn, and of each class that a fold cannot learn, or cannot
    /// validate, where other cases have it.
    pub fn warnings_of_folds(&self) -> Vec<String> {
        let of_classes = (1..self.classes.len()).filter_map(|class| self.warning(class));
        self.empty_folds().map(|(sentence, _)| sentence).into_iter().chain(of_classes).collect()
    }

    /// Refuses folds whose training cases have no foreground, or no background, where other cases have it.
    ///
    /// # Errors
    /// Names the folds, the cases that have it, and what to do.
    pub fn check(&self) -> Result<()> {
        match self.empty_folds() {
            Some((sentence, remedy)) => Err(Error::Usage(format!("{sentence}; {remedy}"))),
            None => Ok(()),
        }
    }

    fn warning(&self, class: usize) -> Option<String> {
        let name = &self.classes[class];
        let lacks = |cases: &[&CaseClasses]| !cases.iter().any(|case| case.has(class));
        let unlearnt = self.among(|sides| lacks(&sides.training));
        let unmeasured = self.among(|sides| !sides.validation.is_empty() && lacks(&sides.validation));
        let with = self.names(|case| case.has(class));
        let occurs = match with.len() {
            0 => return None,
            n if n > FEW => format!("in {n} of {} cases", self.cases.len()),
            _ => format!("in {} alone", some(&with)),
        };
        let sentences = [
            (unlearnt, "training", "it cannot be learnt, and its Dice says nothing"),
            (unmeasured, "validation", "its Dice cannot be measured"),
        ]
        .map(|(folds, side, so)| Some(format!("no {side} case{} holds it, so that {so}", of_folds(&folds?))));
        let sentences: Vec<String> = sentences.into_iter().flatten().collect();
        (!sentences.is_empty()).then(|| format!("class {name} occurs {occurs}: {}", sentences.join("; ")))
    }

    /// The folds that have nothing to learn, though other cases have it, and what to do.
    fn empty_folds(&self) -> Option<(String, &'static str)> {
        let of_foreground = self.folds_without("foreground", CaseClasses::has_foreground);
        of_foreground.or_else(|| self.folds_without("background", CaseClasses::has_background))
    }

    fn folds_without(&self, what: &str, has: fn(&CaseClasses) -> bool) -> Option<(String, &'static str)> {
        let with = self.names(has);
        let [plural, have] = if with.len() == 1 { ["", "has"] } else { ["s", "have"] };
        let of_fold = |sides: &Sides| {
            let fold = sides.fold.filter(|_| !sides.training.iter().any(|case| has(case)))?;
            let held_out = sides.validation.iter().filter(|case| has(case)).count();
            Some(match held_out == with.len() {
                true => format!("fold {fold} holds out {}, the only case{plural} with {what}", some(&with)),
                false => format!("fold {fold} trains on no case with {what}, which {} {have}", some(&with)),
            })
        };
        let lacking: Vec<String> = self.folds.iter().filter_map(of_fold).collect();
        // Where no case has it, the folds are not to blame.
        if lacking.is_empty() || with.is_empty() {
            return None;
        }
        let remedy = match with.len() {
            1 => {
                "train the folds that keep it one by one with --fold K, name folds that all train on it in splits_final.json, or hold none out with --set validation.split=none"
            }
            _ => "take other folds, by --seed or --folds, or name folds of your own in splits_final.json",
        };
        Some((format!("{}: nothing would be left to learn", lacking.join("; ")), remedy))
    }

    /// The folds of which something is true, if any; a single one may have no number.
    fn among(&self, is_true: impl Fn(&Sides) -> bool) -> Option<Vec<Option<usize>>> {
        let folds: Vec<Option<usize>> =
            self.folds.iter().filter(|sides| is_true(sides)).map(|sides| sides.fold).collect();
        (!folds.is_empty()).then_some(folds)
    }

    fn names(&self, is_one: impl Fn(&CaseClasses) -> bool) -> Vec<&'a str> {
        self.cases.iter().filter(|case| is_one(case)).map(|case| case.name.as_str()).collect()
    }
}

/// ` of fold 3`, ` of folds 0, 1 and 4`, or nothing.
fn of_folds(folds: &[Option<usize>]) -> String {
    let numbers: Vec<String> = folds.iter().flatten().map(usize::to_string).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    match numbers.as_slice() {
        [] => String::new(),
        [one] => format!(" of fold {one}"),
        several => format!(" of folds {}", some(several)),
    }
}
