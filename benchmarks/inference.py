"""What a prediction and its report cost: memory that must not grow with the run, and
the time of the page; part of `make bench`.

Memory: a run of 490 frames on the grid of the `small` preset (46×55×46, 4 mm) is
predicted in fresh processes with 1, 4 and 8 windows, and with 4 windows in one batch.
Shown is the peak of the resident memory, and how much of it came after the model was
loaded. glibc's allocator keeps freed blocks of up to 32 MB for later, which differs
from run to run by some 30 MiB; so the processes are told to give blocks of 4 MB back at
once, which shows what is needed, and one row shows the allocator as it is. Report:
`write_report` of a synthetic result with everything in it (baseline, null control,
groups, calibration, seeds, windows × length, map, 200 subjects), CPU seconds;
predicting and scoring are not in it, and scoring is shown beside it.
"""

import os

for name in ('OMP', 'OPENBLAS', 'MKL'):
    os.environ.setdefault(f'{name}_NUM_THREADS', '1')
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

MEMORY, SECONDS = 1.3, 10.0


# MiB: resident, the most so far
def peak():
    return next(
        int(line.split()[1]) / 1024
        for line in open('/proc/self/status')
        if line.startswith('VmHWM')
    )


def write_scan(path):
    from brainmt.data.grid import GRIDS
    from brainmt.data.space import template_mask
    from brainmt.data.store import write_run

    mask, rng = np.zeros((46, 55, 46), bool), np.random.default_rng(0)
    big = template_mask('MNI152_4mm')
    shape = tuple(map(min, mask.shape, big.shape))
    mask[: shape[0], : shape[1], : shape[2]] = big[: shape[0], : shape[1], : shape[2]]
    write_run(
        path,
        rng.standard_normal((490, int(mask.sum())), np.float32),
        mask,
        GRIDS['MNI152_4mm'].affine,
        0.735,
        normalization='zscore_voxelwise',
        subject='0',
    )


def predict_here(path, windows, batch_size):
    "In a process of its own: peaks before and after."
    import torch

    from brainmt.data.store import open_run
    from brainmt.evaluation.predict import predict
    from brainmt.model.brainmt import BrainMT

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, run = BrainMT.from_preset('small'), open_run(path)
    before = peak()
    start = time.process_time()
    predict(model, run, windows=windows, batch_size=batch_size, check=False)
    print(
        json.dumps(
            dict(before=before, after=peak(), seconds=time.process_time() - start)
        )
    )


def memory(path, choices):
    print(
        f'{"490 frames, small preset":<34}{"peak":>10}{"of it after loading":>22}'
        f'{"CPU s":>8}'
    )
    found = {}
    for name, (windows, batch) in choices.items():
        env = os.environ | (
            {}
            if 'as it is' in name
            else dict(
                MALLOC_MMAP_THRESHOLD_='4000000', MALLOC_TRIM_THRESHOLD_='4000000'
            )
        )
        out = subprocess.run(
            [
                sys.executable,
                __file__,
                '--predict',
                str(path),
                '--windows',
                str(windows),
                '--batch',
                str(batch),
            ],
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
        found[name] = d = json.loads(out.stdout.splitlines()[-1])
        print(
            f'{name:<34}{d["after"]:>6.0f} MiB{d["after"] - d["before"]:>18.0f} '
            f'MiB{d["seconds"]:>8.1f}',
            flush=True,
        )
    one, *more = (
        d['after'] - d['before']
        for name, d in found.items()
        if 'one batch' not in name and 'as it is' not in name
    )
    whole = (
        max(d['after'] for name, d in found.items() if 'one batch' not in name)
        / found['1 window']['after']
    )
    print(
        f'Largest against one window, after loading: {max(more) / one:.2f}: '
        f'{"within" if max(more) <= MEMORY * one else "MORE THAN"} {MEMORY}. Whole '
        f'process, the allocator as it is: {whole:.2f}.'
    )


def results(rng):
    "A result with every part, from made-up predictions."
    import nibabel as nib

    from brainmt.data.synth import brain_grid, network_maps
    from brainmt.evaluation.groups import by_group, over_seeds
    from brainmt.evaluation.scoring import compare, evaluate
    from brainmt.reporting.results import AttributionSummary, ReportData

    index = pd.Index([f'{i:03d}' for i in range(200)], name='subject')
    y = np.arange(200) % 2

    def made_up(skill):
        z = skill * (y - 0.5) + rng.normal(size=200)
        return pd.DataFrame(
            dict(
                target=y,
                prediction=z,
                probability=1 / (1 + np.exp(-z)),
                spread=0.1,
                windows=4,
            ),
            index,
        )

    p, q, null = made_up(2), made_up(0.5), made_up(0)
    table = p[['target']].assign(
        site=rng.choice(list('ABC'), 200), age=rng.uniform(20, 80, 200)
    )
    start = time.process_time()
    score = lambda a: evaluate(a, table, 'classification')
    found = dict(
        metrics=score(p),
        null_metrics=score(null),
        baselines={'tangent': score(q)},
        comparisons={'tangent': compare(p, q, table, 'classification')},
        groups=[by_group(p, table, by, 'classification') for by in ('site', 'age')],
        seeds=over_seeds({f'seed {s}': score(made_up(2)) for s in range(3)}),
    )
    scoring, e = time.process_time() - start, np.arange(1, 41)
    mask, affine = brain_grid()
    path = Path(tempfile.mkdtemp()) / 'map.nii.gz'
    nib.save(
        nib.Nifti1Image((network_maps()['motor'] * mask).astype('float32'), affine),
        path,
    )
    lengths = pd.DataFrame(
        [
            dict(length=n, windows=k, metric='auroc', value=0.8, low=0.7, high=0.9)
            for n in (12, 24, 48)
            for k in (1, 2, 4)
        ]
    )
    return scoring, ReportData(
        **found,
        predictions=p,
        null_predictions=null,
        windows_by_length=lengths,
        attribution=AttributionSummary(path),
        history=pd.DataFrame(
            dict(epoch=e, train_loss=1 / e, valid_loss=1 / e, auroc=1 - 0.5 / e)
        ),
        split=dict(train=list(range(500)), test=list(index)),
        seed=0,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--predict')
    parser.add_argument('--windows', type=int)
    parser.add_argument('--batch', type=int)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    if args.predict:
        return predict_here(args.predict, args.windows, args.batch or None)
    with tempfile.TemporaryDirectory() as tmp:
        write_scan(Path(tmp) / 'sub-0.safetensors')
        memory(
            Path(tmp) / 'sub-0.safetensors',
            {
                '1 window': (1, 0),
                '4 windows': (4, 0),
                '8 windows': (8, 0),
                '8 windows, allocator as it is': (8, 0),
                '4 windows in one batch': (4, 4),
            },
        )
        from brainmt.reporting.report import write_report

        scoring, r = results(np.random.default_rng(0))
        took = []
        for i in range(args.rounds):
            start = time.process_time()
            page = write_report(Path(tmp) / f'run{i}', r)
            took.append(time.process_time() - start)
        print(
            f'\nReport with everything: {took[0]:.1f} s the first time (nilearn is '
            f'imported), then {statistics.median(took[1:]):.1f} s; '
            f'{page.stat().st_size / 1e3:.0f} kB. Scoring 6 models before it: '
            f'{scoring:.1f} s.'
        )
        print(
            f'Slowest report {max(took):.1f} s: '
            f'{"within" if max(took) <= SECONDS else "MORE THAN"} {SECONDS:g} s.'
        )


if __name__ == '__main__':
    main()
