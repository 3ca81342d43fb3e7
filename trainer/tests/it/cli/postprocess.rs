//! Laws of the post-processing that training chooses and predicting does.

use metrics::Mean;
use trainer::predict::{Choice, ClassChoice, PostProcessing};
use trainer::run::checkpoint::Checkpoint;

use super::{Place, json, small, succeeds};

const AUTO: [&str; 6] = [
    "--set",
    "inference.min_component=auto",
    "--set",
    "inference.keep_largest=auto",
    "--set",
    "inference.fill_holes=auto",
];

impl Place {
    /// Puts a choice into a run's best checkpoint.
    fn choose(&self, run: &str, taken: PostProcessing) {
        let path = self.path(&format!("{run}/checkpoints/best"));
        let mut checkpoint = Checkpoint::load(&path).unwrap();
        let [before, after] = [0.25, 0.5].map(|value| Mean { value: Some(value), n: 1, undefined: 0 });
        let class = ClassChoice { name: "lesion".into(), taken, before, after };
        checkpoint.card.networks[0].postprocessing =
            Some(Choice { cases: vec!["case_1".into()], classes: vec![class] });
        checkpoint.save(&path).unwrap();
    }

    /// Masks of one case, of the most probable part of the voxels, and what was printed.
    fn treated(&self, runs: &[&str], out: &str, more: &[&str]) -> (Vec<u8>, String) {
        let (run, images, masks) = (self.text(runs[0]), self.text("data/imagesTs"), self.text(out));
        let others: Vec<String> = runs[1..].iter().map(|run| self.text(run)).collect();
        let mut args = vec!["predict", &run, &images, "--out", &masks];
        others.iter().for_each(|other| args.extend(["--ensemble", other]));
        args.extend(more);
        let printed = succeeds(&args);
        let mask = volumes::Stored::read(self.path(&format!("{out}/case_2.nii.gz"))).unwrap();
        (mask.stored::<u8>().unwrap(), printed)
    }
}

const OFF: [&str; 4] = ["--min-component", "0", "--keep-largest=false", "--fill-holes=false"];

#[test]
fn predict_does_what_the_checkpoint_chose_unless_it_is_told_otherwise() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    place.train("run", &AUTO);
    place.train("other", &[&AUTO[..], &["--seed", "5"]].concat());
    // The most probable tenth of a net that has hardly learnt: so many components that something is done to them.
    place.treated(&["run"], "any", &["--save-probabilities"]);
    let probabilities =
        volumes::Stored::read(place.path("any/probability/case_2_lesion.nii.gz")).unwrap().to_f32();
    let mut sorted = probabilities;
    sorted.sort_by(f32::total_cmp);
    let tenth = sorted[sorted.len() * 9 / 10].to_string();
    let predict = |runs: &[&str], out: &str, more: &[&str]| {
        place.treated(runs, out, &[&["--threshold", &tenth][..], more].concat())
    };
    let (plain, printed) = predict(&["run"], "plain", &OFF);
    assert!(!printed.contains("post-processing") && !printed.contains("as predicted"), "{printed}");
    let keep = PostProcessing { keep_largest: true, ..Default::default() };
    let small = PostProcessing { min_component: 30, keep_largest: true, fill_holes: true };
    let applied = |treatment: PostProcessing, mask: &[u8]| {
        let mut mask = mask.to_vec();
        treatment.apply(&mut mask, small::SHAPE);
        mask
    };
    assert!(applied(keep, &plain) != plain, "there is something to do");

    place.choose("run", keep);
    let (mask, printed) = predict(&["run"], "chosen", &[]);
    assert!(mask == applied(keep, &plain));
    let words = "of each foreground class only the largest component is kept\n\
                 post-processing was chosen on case_1:\n  \
                 lesion: only the largest component is kept: mean Dice 0.5000, from 0.2500 over 1 case\n";
    assert!(printed.contains(words), "{printed}");
    let (mask, _) = predict(&["run"], "told", &["--keep-largest=false"]);
    assert!(mask == plain);
    let three = PostProcessing { min_component: 3, ..Default::default() };
    let (mask, _) = predict(&["run"], "size", &["--keep-largest=false", "--min-component", "3"]);
    assert!(mask == applied(three, &plain));

    // Of several runs, what all chose.
    place.choose("other", PostProcessing { keep_largest: false, ..small });
    let (both, printed) = predict(&["run", "other"], "both", &[]);
    assert!(
        printed.contains("masks are as predicted, as all runs chose on their validation cases\n"),
        "{printed}"
    );
    place.choose("other", small);
    let (mask, printed) = predict(&["run", "other"], "alike", &[]);
    assert!(mask == applied(keep, &both));
    assert!(
        printed.contains("component is kept, as all runs chose on their validation cases\n"),
        "{printed}"
    );
}

#[test]
fn training_tells_what_it_chose_and_where_it_could_not() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    let printed = place.train("run", &AUTO);
    let best = Checkpoint::load(&place.path("run/checkpoints/best")).unwrap();
    let choice = best.network().postprocessing.clone().expect("there is a validation case");
    assert!(printed.contains(&format!("{choice}\n")), "{printed}");
    let log = std::fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let event = log.lines().rfind(|line| line.contains(r#""event":"validation""#)).unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["postprocessing"]["classes"][0]["name"], "lesion");

    let none = [&AUTO[..], &["--set", "validation.split=none"]].concat();
    let printed = place.train("none", &none);
    let words = "no validation case to choose post-processing on: masks stay as predicted\n";
    assert!(printed.contains(words), "{printed}");
    let (_, printed) = place.treated(&["none"], "masks", &[]);
    assert!(
        printed.contains("masks are as predicted: nothing was chosen, without validation cases or before"),
        "{printed}"
    );
    assert!(json(&place.path("none/run.json")).is_object());
}
