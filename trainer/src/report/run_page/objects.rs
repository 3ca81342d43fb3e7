//! Objects by size, and those that were missed: how far each was from being found.

use crate::report::page::{Cell, Page, count, number};
use crate::report::{CaseReport, ModelReport, ObjectReport};

/// Missed objects of a class that are shown, the largest; the next stand where the reader asks for them.
const SHOWN: usize = 10;
/// Missed objects of a class that are listed in all.
const LISTED: usize = 200;

/// Recall by size and the missed objects of each class.
pub(super) fn objects(page: &mut Page, model: &ModelReport) {
    let all = |class: usize| {
        let of_case = move |case| of_class(case, class).map(move |object| (case, object));
        model.cases.iter().flat_map(of_case)
    };
    if (0..model.classes.len()).all(|class| all(class).next().is_none()) {
        return;
    }
    page.heading("Objects found and missed");
    let mut rows = Vec::new();
    for (index, class) in model.classes.iter().enumerate() {
        // By powers of ten of their voxels.
        for power in 0..10 {
            let size = 10u64.pow(power)..10u64.pow(power + 1);
            let own: Vec<&ObjectReport> =
                all(index).map(|(_, object)| object).filter(|object| size.contains(&object.voxels)).collect();
            if own.is_empty() {
                continue;
            }
            let found = own.iter().filter(|object| object.found).count();
            rows.push(vec![
                Cell::from(class.name.as_str()).coloured(index),
                format!("{} to {}", count(size.start), count(size.end - 1)).into(),
                found.into(),
                own.len().into(),
                number(Some(found as f64 / own.len() as f64), 3).into(),
            ]);
        }
    }
    page.table("sizes", &["class", "voxels of the object", "found", "of", "recall"], &rows, 2);
    for (index, class) in model.classes.iter().enumerate() {
        let mut missed: Vec<(&CaseReport, &ObjectReport)> =
            all(index).filter(|(_, object)| !object.found).collect();
        if missed.is_empty() {
            continue;
        }
        missed.sort_by_key(|(_, object)| std::cmp::Reverse(object.voxels));
        page.paragraph(&format!("Missed objects of {}, the largest first:", class.name));
        let row = |(case, object): &(&CaseReport, &ObjectReport)| -> Vec<Cell> {
            let cut = object.cut;
            vec![
                case.name.as_str().into(),
                count(object.voxels).into(),
                format!("{:.0}", object.voxels as f64 * case.voxel_volume).into(),
                number(cut.map(|cut| cut.probability), 4).into(),
                number(cut.and_then(|cut| cut.precision), 4).into(),
                number(cut.and_then(|cut| cut.recall), 4).into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = missed.iter().take(LISTED).map(row).collect();
        let titles = [
            "case",
            "voxels",
            "mm³",
            "highest probability inside",
            "precision of voxels at that threshold",
            "recall",
        ];
        let (shown, others) = rows.split_at(rows.len().min(SHOWN));
        page.table(&format!("missed-{}", index + 1), &titles, shown, 1);
        if !others.is_empty() {
            let left_out = match missed.len() - rows.len() {
                0 => String::new(),
                n => format!(", without the {n} smallest"),
            };
            page.details(&format!("{} more{left_out}", others.len()), |page| {
                page.table(&format!("missed-{}-more", index + 1), &titles, others, 1);
            });
        }
    }
    let several = model.classes.len() > 1;
    page.note(match several {
        true => "A missed object would be found by a threshold just below the highest probability inside it, of its class against the rest, as trained; that is what such a threshold would do to the voxels of all cases. A dash: the network sees nothing of it, as it lies in what was cropped.",
        false => "A missed object would be found by a threshold just below the highest probability inside it (calibrated; `predict --threshold`, where post-processing does not drop it); that is what such a threshold would do to the voxels of all cases. A dash: the network sees nothing of it, as it lies in what was cropped.",
    });
}

fn of_class(case: &CaseReport, class: usize) -> impl Iterator<Item = &ObjectReport> {
    case.classes.get(class).into_iter().flat_map(|class| &class.truth)
}
