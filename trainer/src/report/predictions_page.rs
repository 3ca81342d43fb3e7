//! The page of what was predicted: slices of each image with its mask.

use super::Picture;
use super::page::Page;

/// The page; `model` says what predicted the masks, and of each there are slices and a few words.
pub(crate) fn predictions_page(model: &str, masks: &[(Picture, String)]) -> String {
    let mut page = Page::new("Predicted masks");
    page.paragraph(model);
    page.note("The first channel as the network sees it, and the prediction. R and L are the patient's right and left, A and P front and back, S and I head and feet, where the image says so.");
    for (picture, words) in masks {
        page.picture(&picture.png, &format!("{}: {words}", picture.case));
    }
    page.finish()
}
