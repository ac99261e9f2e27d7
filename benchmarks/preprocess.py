"""From a compressed scan to the store, beside the way it is commonly done: part of
`make bench`.

Each measurement is a process of its own (so that its peak memory is its own), the ways
taking turns within each round, so that a busy machine slows all of them alike.

- `decompress`: reading the file to its end and nothing else, by isal (what brainmt
uses) and by zlib (what nibabel uses). The first is the floor for `brainmt`. - `whole
array`: the common recipe re-created in plain words: the whole file as a float32 tensor,
mean, standard deviation and minimum over its non-zero values, background filled with
the minimum, half precision, `torch.save`. Boolean selection is slow in nibabel's memory
order; `C order` is the same on a copied array, as MONAI's reader hands it out. -
`brainmt`: `preprocess_run` with the global z-score, so that both compute the same
numbers.

The scans are made here: FSL's 2 mm grid, 235,375 brain voxels of AR(1) noise, air 0,
gzip. Noise compresses badly; real scans are read a little faster by everybody.
"""

import argparse
import gzip
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.update(OMP_NUM_THREADS='2', TQDM_DISABLE='1')
WAYS = (
    'decompress',
    'decompress by zlib',
    'whole array',
    'whole array, C order',
    'brainmt',
)

# -- what is measured: one way, one file, in a process of its own ----------------------


# MB
def status(field):
    return (
        int(
            next(
                line for line in open('/proc/self/status') if line.startswith(field)
            ).split()[1]
        )
        / 1024
    )


def decompress(path, opener):
    buffer = memoryview(bytearray(1 << 22))
    with opener(path, 'rb') as f:
        while f.readinto(buffer):
            pass


def whole_array(path, out, c_order):
    import nibabel as nib
    import numpy as np
    import torch

    array = nib.load(path).get_fdata(dtype=np.float32)
    data = torch.from_numpy(np.ascontiguousarray(array) if c_order else array)
    outside = data == 0
    mean, std = data[~outside].mean(), data[~outside].std()
    z = (data - mean) / std
    full = torch.empty(data.shape)
    full[outside] = z[~outside].min()
    full[~outside] = z[~outside]
    torch.save(full.half(), out)


def measure(way, path, out):
    # loaded before the clock starts, and before memory is looked at
    for name in ('isal.igzip', 'nibabel', 'nilearn.image', 'numpy', 'torch'):
        importlib.import_module(name)
    import isal.igzip

    from brainmt.data.fingerprint import PreprocessConfig
    from brainmt.data.preprocess import preprocess_run

    work = {
        'decompress': lambda: decompress(path, isal.igzip.open),
        'decompress by zlib': lambda: decompress(path, gzip.open),
        'whole array': lambda: whole_array(path, out, False),
        'whole array, C order': lambda: whole_array(path, out, True),
        'brainmt': lambda: preprocess_run(
            path, out, PreprocessConfig(grid='MNI152_2mm', normalization='zscore')
        ),
    }[way]
    before = status('VmRSS')
    if way == 'brainmt':
        from brainmt.data.space import template_mask

        # once per process and not per scan; its memory counts
        template_mask('MNI152_2mm')
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            dict(
                seconds=seconds,
                memory=status('VmHWM') - before,
                bytes=Path(out).stat().st_size if Path(out).exists() else 0,
            )
        )
    )


# -- the scans -------------------------------------------------------------------------


def write_scan(path, frames, dtype, seed=0):
    import nibabel as nib
    import numpy as np
    from isal import igzip

    from brainmt.data.grid import named_grid
    from brainmt.data.space import template_mask

    grid, mask, rng = (
        named_grid('MNI152_2mm'),
        template_mask('MNI152_2mm'),
        np.random.default_rng(seed),
    )
    header = nib.Nifti1Header()
    header.set_data_shape((*grid.shape, frames))
    header.set_data_dtype(dtype)
    header['magic'], header['vox_offset'], header['pixdim'][4] = b'n+1', 352, 0.735
    # stored from right to left, as FSL does
    affine = grid.affine @ np.array(
        [[-1, 0, 0, 90], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    header.set_sform(affine, 4)
    header.set_qform(affine, 4)
    header.set_xyzt_units('mm', 'sec')
    voxels = np.flatnonzero(mask[::-1].ravel(order='F'))
    mean, noise, frame = (
        rng.uniform(6000, 12000, len(voxels)).astype(np.float32),
        np.zeros(len(voxels), np.float32),
        np.zeros(mask.size, dtype),
    )
    with igzip.open(path, 'wb', compresslevel=2) as f:
        f.write(header.binaryblock + bytes(4))
        for _ in range(frames):
            noise = 0.4 * noise + 0.9 * rng.standard_normal(len(voxels), np.float32)
            frame[voxels] = mean * (1 + 0.01 * noise)
            f.write(frame.tobytes())


def rounding(path):
    "Half precision's error over the fluctuation in time, for each normalisation."
    import numpy as np

    from brainmt.data.normalize import METHODS, normalize
    from brainmt.data.space import template_mask
    from brainmt.data.volume import load_bold

    # (T, V)
    x = np.concatenate(
        list(load_bold(path).in_mask(template_mask('MNI152_2mm')))
    ).astype(np.float32)[:40]
    for method in ('none', *METHODS[:3]):
        z = normalize(x, method)[0]
        with np.errstate(over='ignore'):
            error = (z.astype(np.float16).astype(np.float32) - z).std()
        yield method, float(error / (z - z.mean(axis=0)).std())


# -- the table -------------------------------------------------------------------------


def run(way, path, folder):
    out = folder / ('out.safetensors' if way == 'brainmt' else 'out.pt')
    out.unlink(missing_ok=True)
    made = subprocess.run(
        [sys.executable, __file__, '--measure', way, path, out],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        sys.exit(f'{way} failed:\n{made.stderr[-2000:]}')
    return json.loads(made.stdout.splitlines()[-1])


def compare(name, path, ways, rounds, folder):
    found = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(run(way, path, folder))
    ours = [r['seconds'] for r in found['brainmt']]
    print(f'\n{name}: {path.stat().st_size / 1e6:,.0f} MB compressed')
    heads = f'{"brainmt is faster by":>22}{"peak memory":>14}{"on disk":>10}'
    print(f'  {"":<24}{"seconds":>9}{heads}')
    for way, all_of_it in found.items():
        seconds = [r['seconds'] for r in all_of_it]
        faster = median(s / o for s, o in zip(seconds, ours))
        size = all_of_it[0]['bytes']
        ratio = f'{faster:.2f}×' if faster < 10 else f'{faster:.0f}×'
        if way == 'brainmt':
            ratio = ''
        memory = max(r['memory'] for r in all_of_it)
        disk = f'{size / 1e6:>7,.0f} MB' if size else ''
        row = f'{way:<24}{median(seconds):>9.2f}{ratio:>22}{memory:>11,.0f} MB{disk}'
        print('  ' + row, flush=True)
    print(
        '  over decompression alone '
        f'{median(o / r["seconds"] for o, r in zip(ours, found["decompress"])):.2f}× '
        '(goal 1.5×)',
        flush=True,
    )


def main():
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument('--rounds', type=int, default=3)
    words.add_argument(
        '--long',
        action='store_true',
        help='also 490 frames (UK Biobank) and 1,200 (HCP): 3 GB of disk, some minutes',
    )
    words.add_argument('--measure', nargs=3, help=argparse.SUPPRESS)
    words = words.parse_args()
    if words.measure:
        return measure(*words.measure)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for name, frames, dtype, ways in [
            ('100 frames, int16', 100, 'int16', WAYS),
            ('100 frames, float32', 100, 'float32', WAYS),
        ] + words.long * [
            ('490 frames, float32 (UK Biobank)', 490, 'float32', (WAYS[0], WAYS[-1])),
            ('1200 frames, float32 (HCP)', 1200, 'float32', (WAYS[0], WAYS[-1])),
        ]:
            path = tmp / f'sub-1_task-{frames}{dtype}_space-MNI152NLin6Asym_bold.nii.gz'
            write_scan(path, frames, dtype)
            compare(f'91×109×91, {name}', path, ways, words.rounds, tmp)
            if dtype == 'int16':
                errors = dict(rounding(path))
            path.unlink()
    print('\nhalf precision: its error as a share of the fluctuation in time')
    for method, error in errors.items():
        print(f'  {method:<20}{error:>8.2%}')


if __name__ == '__main__':
    main()
