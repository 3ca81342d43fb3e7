//! Region losses, the focal loss and their sums against MONAI's, value and gradient. In `f64` |Δ| ≤ 1e-9 · max|want| for
//! each tensor; where MONAI rounds to `f32` on the way, 1e-6.

use autograd::Tape;
use libtest_mimic::{Failed, Trial};
use losses::region::Overlap;
use losses::{
    BceWithLogits, Combined, CrossEntropy, Dice, DiceBce, DiceCe, Focal, GeneralisedDice, Loss, Region,
    Tversky,
};

use crate::reference::{self, Case, close};

pub(crate) fn trials() -> Vec<Trial> {
    reference::trials("monai", &["losses"], test)
}

fn test(case: &Case) -> Result<(), Failed> {
    let number = |key: &str| case.arguments[key].as_f64().ok_or_else(|| format!("no number {key}"));
    let smooth = || number("smooth");
    let loss: Box<dyn Loss<f64>> = match case.text("op") {
        Some("dice") => {
            let squared = case.arguments["squared_pred"].as_bool().ok_or("no squared_pred")?;
            Box::new(region(case, Dice::new().smooth(smooth()?).squared(squared)))
        }
        Some("tversky") => {
            let loss = Tversky::new(number("alpha")?, number("beta")?);
            Box::new(region(case, loss.smooth(smooth()?)))
        }
        Some("generalized_dice") => Box::new(region(case, GeneralisedDice::new().smooth(smooth()?))),
        Some("focal") => {
            Box::new(Focal::new().gamma(number("gamma")?).alpha(case.arguments["alpha"].as_f64()))
        }
        Some("dice_ce") => {
            let dice = region(case, Dice::new().smooth(smooth()?));
            let [of_dice, of_ce] = [number("lambda_dice")?, number("lambda_ce")?];
            // Of one channel MONAI takes the binary cross-entropy, too.
            match softmax(case) {
                true => Box::new(DiceCe::new(dice, CrossEntropy::new()).factors(of_dice, of_ce)),
                false => Box::new(DiceBce::new(dice, BceWithLogits::new()).factors(of_dice, of_ce)),
            }
        }
        Some("dice_focal") => {
            let dice = region(case, Dice::new().smooth(smooth()?));
            Box::new(Combined::new().and(1.0, dice).and(1.0, Focal::new().gamma(number("gamma")?)))
        }
        other => return Err(format!("unknown operation {other:?}").into()),
    };
    check(case, &*loss)
}

fn softmax(case: &Case) -> bool {
    case.arguments["softmax"] == true
}

/// The settings that every loss of regions has; an option that a case does not name is MONAI's default, which is ours.
fn region<F: Overlap>(case: &Case, loss: Region<F>) -> Region<F> {
    let flag = |key: &str, default: bool| case.arguments[key].as_bool().unwrap_or(default);
    let loss = loss.batch(flag("batch", false)).include_background(flag("include_background", true));
    if softmax(case) { loss.softmax() } else { loss }
}

fn check(case: &Case, loss: &dyn Loss<f64>) -> Result<(), Failed> {
    let tolerance = match case.text("computed_in") {
        Some("float64") => 1e-9,
        Some("float32") => 1e-6,
        other => return Err(format!("computed in {other:?}").into()),
    };
    let tape = Tape::train(0);
    let logits = tape.variable(case.array("logits").channels_last().tensor());
    let target = case.array("target").channels_last().tensor();
    let y = loss.report(&logits, (&target).into()).map_err(|e| e.to_string())?.loss;
    close("loss", y.value().data(), &case.array("loss").data, tolerance)?;
    let gradients = y.backward();
    let dx = gradients.wrt(&logits).ok_or("no gradient")?;
    close("grad", dx.data(), &case.array("grad").channels_last().data, tolerance)
}
