//! The objects of a label map one by one: the connected components of each class.

use std::collections::BTreeMap;

use super::components::Components;
use super::grid::{BoundingBox, Connectivity};
use super::lesions::LesionCounts;

/// The objects of a label map `[d, h, w]`, and which voxels are theirs.
///
/// ```
/// use metrics::{Connectivity, Objects};
/// let truth = Objects::new(&[1, 1, 0, 2, 0, 1], [1, 1, 6], Connectivity::TwentySix, |label| label != 0);
/// let found = truth.met_by(&[0, 1, 0, 1, 0, 0]);
/// assert_eq!(truth.list().iter().map(|o| (o.class, o.voxels)).collect::<Vec<_>>(), [(1, 2), (1, 1), (2, 1)]);
/// assert_eq!(found, [true, false, false]);
/// ```
#[derive(Clone, Debug)]
pub struct Objects {
    shape: [usize; 3],
    classes: Vec<Class>,
    list: Vec<Object>,
}

/// The components of a class, in the box around its voxels.
#[derive(Clone, Debug)]
struct Class {
    bounds: BoundingBox,
    components: Components,
    /// The place of its first object in the list.
    first: usize,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its class.
    pub class: u8,
    /// How many voxels it has.
    pub voxels: u64,
}

impl Objects {
    /// The objects of each class that `counts`, ascending by class and within it by their first voxels.
    ///
    /// # Panics
    /// If the labels do not fill the shape.
    #[track_caller]
    pub fn new(
        labels: &[u8],
        shape: [usize; 3],
        connectivity: Connectivity,
        counts: impl Fn(u8) -> bool,
    ) -> Self {
        assert_eq!(labels.len(), shape.iter().product::<usize>(), "labels for a volume of shape {shape:?}");
        let mut boxes = BTreeMap::new();
        BoundingBox::add_labels(&mut boxes, labels, shape, counts);
        let (mut classes, mut list) = (Vec::new(), Vec::new());
        for (class, bounds) in boxes {
            let mut mask = memory::with_capacity(bounds.shape().iter().product());
            mask.extend(bounds.indices(shape).map(|index| labels[index] == class));
            let components = Components::new(&mask, bounds.shape(), connectivity);
            let first = list.len();
            list.resize(first + components.count as usize, Object { class, voxels: 0 });
            for &number in components.labels.iter().filter(|&&number| number > 0) {
                list[first + number as usize - 1].voxels += 1;
            }
            classes.push(Class { bounds, components, first });
        }
        Self { shape, classes, list }
    }

    /// The objects.
    pub fn list(&self) -> &[Object] {
        &self.list
    }

    /// The voxels of objects in a plane across d: each one's index in the plane, and its object's place in the list.
    pub fn in_plane(&self, d: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let width = self.shape[2];
        self.classes.iter().flat_map(move |class| {
            let [depths, rows, columns] = class.bounds.ranges();
            let planes = depths.contains(&d).then(|| d - depths.start);
            let places = rows.clone().flat_map(move |h| columns.clone().map(move |w| h * width + w));
            let of_plane = planes.into_iter().flat_map(move |plane| {
                let len = rows.len() * columns.len();
                &class.components.labels[plane * len..][..len]
            });
            let numbered = places.zip(of_plane).filter(|(_, number)| **number > 0);
            numbered.map(|(index, &number)| (index, class.first + number as usize - 1))
        })
    }

    /// Of each object whether another label map has its class at one of its voxels.
    ///
    /// # Panics
    /// If the other has another number of voxels.
    #[track_caller]
    pub fn met_by(&self, other: &[u8]) -> Vec<bool> {
        let [depth, height, width] = self.shape;
        assert_eq!(other.len(), depth * height * width, "two label maps of one shape");
        let mut met = vec![false; self.list.len()];
        for (d, plane) in other.chunks_exact((height * width).max(1)).enumerate() {
            for (index, place) in self.in_plane(d) {
                met[place] |= plane[index] == self.list[place].class;
            }
        }
        met
    }

    /// The counts of a class, from the objects of truth and prediction and whether each was met by the other.
    pub fn counts(class: u8, truth: (&Self, &[bool]), prediction: (&Self, &[bool])) -> LesionCounts {
        let of = |(objects, met): (&Self, &[bool])| {
            let own = objects.list.iter().zip(met).filter(|(object, _)| object.class == class);
            own.fold((0, 0), |(all, some), (_, met)| (all + 1, some + u64::from(*met)))
        };
        let ((lesions, found), (predicted, right)) = (of(truth), of(prediction));
        LesionCounts { lesions, found, predicted, false_positives: predicted - right }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn objects_of_each_class_are_counted_as_its_lesions_are(
            shape in prop::array::uniform3(1usize..6),
            drawn in prop::collection::vec((0u8..4, 0u8..4), 125),
        ) {
            let voxels = shape.iter().product();
            let truth: Vec<u8> = drawn[..voxels].iter().map(|pair| pair.0).collect();
            let prediction: Vec<u8> = drawn[..voxels].iter().map(|pair| pair.1).collect();
            for connectivity in [Connectivity::Six, Connectivity::TwentySix] {
                let objects = |labels: &[u8]| Objects::new(labels, shape, connectivity, |label| label != 0);
                let (of_truth, of_prediction) = (objects(&truth), objects(&prediction));
                let (found, right) = (of_truth.met_by(&prediction), of_prediction.met_by(&truth));
                for class in 1..4 {
                    let mask = |labels: &[u8]| labels.iter().map(|&l| l == class).collect::<Vec<bool>>();
                    let (t, p) = (mask(&truth), mask(&prediction));
                    let counts = Objects::counts(class, (&of_truth, &found), (&of_prediction, &right));
                    prop_assert_eq!(counts, LesionCounts::new(&t, &p, shape, connectivity));
                    let own = of_truth.list().iter().filter(|object| object.class == class);
                    let voxels = t.iter().filter(|&&set| set).count() as u64;
                    prop_assert_eq!(own.map(|object| object.voxels).sum::<u64>(), voxels);
                }
            }
        }
    }
}
