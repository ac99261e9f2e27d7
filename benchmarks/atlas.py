"""Time courses of regions: our product of frames and weights beside nilearn's maskers.

A run of 490 frames on the paper's grid (91×109×91, 235,375 brain voxels), as it lies in
a store: (T, V) in half precision. The product reads it in blocks of 32 frames; a masker
gets each block as a 4D image, and begins anew with each. Labels: 200 parcels; maps: 64;
spheres: Power's 264. Some blocks are measured and scaled up to the run: CPU seconds of
one thread. Peak: resident memory of the process so far, so the rows only grow.
"""

import os

for name in ('OMP', 'OPENBLAS', 'MKL'):
    os.environ.setdefault(f'{name}_NUM_THREADS', '1')
import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.datasets import fetch_coords_power_2011
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker, NiftiSpheresMasker

from brainmt.data.grid import GRIDS
from brainmt.data.space import template_mask
from brainmt.data.store import write_run
from brainmt.evaluation.atlas import load_atlas
from brainmt.evaluation.parcels import Atlas, make_parcels, parcel_means

BLOCK, FRAMES = 32, 490


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name, work, blocks):
    work(0)  # what is made once
    start = time.process_time()
    found = np.concatenate([work(i * BLOCK) for i in range(blocks)])
    took = (time.process_time() - start) * FRAMES / (blocks * BLOCK)
    print(f'{name:<28}{took:>9.1f}{peak():>11.0f} MiB', flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--blocks', type=int, default=2)
    blocks = parser.parse_args().blocks
    grid = GRIDS['MNI152_2mm']
    mask = template_mask(grid)
    noise = np.random.default_rng(0).standard_normal
    with tempfile.TemporaryDirectory() as tmp:
        frames = noise((blocks * BLOCK, int(mask.sum())), np.float32)
        run = write_run(Path(tmp) / 'sub-0.safetensors', frames, mask, grid.affine, 0.7)
        labels = make_parcels(run, 200)
        spheres = load_atlas('power_2011', run)
        soft = Atlas('maps', labels.names[:64], labels.maps[:, :64], **place(labels))
        image = {
            'labels': nib.Nifti1Image(numbered(labels), grid.affine),
            'maps': nib.Nifti1Image(
                soft.maps.toarray().reshape(*grid.shape, 64), grid.affine
            ),
        }
        centres = fetch_coords_power_2011().rois[['x', 'y', 'z']].to_numpy(float)
        kinds = {
            '200 labels': (labels, NiftiLabelsMasker(image['labels'])),
            '64 maps': (soft, NiftiMapsMasker(image['maps'])),
            '264 spheres': (spheres, spheres_masker(centres)),
        }
        print(f'{"one run of 490 frames":<28}{"CPU s":>9}{"peak":>15}')
        for name, (atlas, _) in kinds.items():
            ours = lambda t: parcel_means(run, atlas, block_of(run, t))
            measured(f'{name}, product', ours, blocks)
        for name, (_, masker) in kinds.items():
            masker.fit()
            theirs = lambda t: masker.transform(as_image(run, t))
            measured(f'{name}, masker', theirs, blocks)


def place(atlas):
    return dict(shape=atlas.shape, affine=atlas.affine, soft=True)


def numbered(atlas):
    numbers = atlas.maps @ np.arange(1, len(atlas.names) + 1)
    return numbers.reshape(atlas.shape).astype(np.int32)


def spheres_masker(centres):
    return NiftiSpheresMasker([tuple(c) for c in centres], 5.0, allow_overlap=True)


def block_of(run, t):
    return run.window(t, BLOCK).astype(np.float32)


def as_image(run, t):
    volumes = np.zeros((*run.shape, BLOCK), np.float32)
    volumes[run.mask] = block_of(run, t).T
    return nib.Nifti1Image(volumes, run.affine)


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    main()
