"""Does the map find what was planted? The numbers of explain and sanity on the lag
cohort: python benchmarks/explain.py

For each seed a cohort, a split and a training of the tiny model of its own; eight
held-out subjects are explained, one window each. A map is graded by the AUROC of its
voxels against the two planted networks: raw, and smoothed as `smooth_map` does. Beside
them ten untrained models, two models trained on shuffled labels, and, for the first
seed, the sanity checks. Nothing here is about time; two processes work side by side.
About ten minutes.
"""

import argparse
import io
import os
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', NUMBA_NUM_THREADS='1', TQDM_DISABLE='1')
from dataclasses import replace

import torch

from brainmt.core import seed_everything
from brainmt.data.cohort import preprocess_cohort
from brainmt.data.fingerprint import PreprocessConfig
from brainmt.data.loaders import make_dls
from brainmt.data.phenotype import read_table
from brainmt.data.split import make_split
from brainmt.data.store import open_cohort
from brainmt.data.synth import (
    TARGETS,
    SynthConfig,
    brain_grid,
    network_maps,
    write_cohort,
)
from brainmt.evaluation.explain import attribute, backwards, control_map
from brainmt.evaluation.maps import map_auroc, relative_map, smooth_map
from brainmt.evaluation.regions import occlusion
from brainmt.evaluation.sanity import cascade, edge_strength
from brainmt.model.brainmt import BrainMT
from brainmt.training.learner import TINY_RECIPE, train

MASK, AFFINE = brain_grid()
PLANTED = sum(network_maps()[t] for t in TARGETS)
# mm; points on a window's path: for a look, and for a gap below 1 %
WIDTHS, FEW, ENOUGH = (8, 16, 24, 32, 48), 64, 512


def grade(map, width=None):
    return map_auroc(map, PLANTED, MASK), map_auroc(
        smooth_map(map, MASK, AFFINE, width), PLANTED, MASK
    )


def cohort(folder, seed):
    "Store, table and split, as the demonstration makes them."
    write_cohort(folder / 'bids', SynthConfig(effect='lag', seed=seed))
    preprocess_cohort(
        folder / 'bids', folder / 'store', PreprocessConfig(), n_jobs=1, progress=False
    )
    tables = {
        c: read_table(folder / 'bids/participants.tsv', c)
        for c in ('label', 'label_null')
    }
    # balanced in both
    both = tables['label']['label'].astype(str) + tables['label_null'][
        'label_null'
    ].astype(str)
    return tables, make_split(
        tables['label'].index, (0.6, 0.15, 0.25), seed=seed, stratify=both
    )


def trained(folder, table, split, seed):
    with redirect_stdout(io.StringIO()):
        return train(
            make_dls(
                folder / 'store', table, split, 48, TINY_RECIPE.batch_size, seed=seed
            ),
            'tiny',
            replace(TINY_RECIPE, seed=seed),
        ).model


def checks(model, some, lag):
    "The sanity checks of one model."
    four = dict(list(some.items())[:4])
    make_map = lambda m: smooth_map(
        attribute(m, four, baseline=backwards, max_steps=16).evidence, MASK, AFFINE
    )
    lost = occlusion(model, some, network_maps(), baseline=backwards)
    return dict(
        edge=edge_strength(smooth_map(lag.evidence, MASK, AFFINE), MASK),
        cascade=list(cascade(model, make_map).itertuples(index=False, name=None)),
        lost=float(lost.effect.abs().max()),
        logits=float(lag.evidence.sum()),
    )


def one_seed(seed):
    "Grades of the maps of one training, by name: (raw, smoothed)."
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        tables, split = cohort(folder, seed)
        runs, model = (
            open_cohort(folder / 'store'),
            trained(folder, tables['label'], split, seed),
        )
        some = {i: runs[i] for i in split.test[:8]}
        zeros, lag = (
            attribute(model, some, max_steps=FEW),
            attribute(model, some, baseline=backwards, max_steps=ENOUGH),
        )
        control = control_map(model, dict(list(some.items())[:1]), n_models=3)
        found = {
            'size, from zeros': grade(zeros.map),
            'size relative to the control, from zeros': grade(
                relative_map(zeros.map, control)
            ),
            'evidence, from zeros': grade(zeros.evidence),
            'evidence, from the scan played backwards': grade(lag.evidence),
            'its t over subjects': grade(lag.t),
        }
        more = dict(
            gap=lag.completeness, widths={w: grade(lag.evidence, w)[1] for w in WIDTHS}
        )
        if seed < 2:
            more['lies'] = grade(
                attribute(
                    trained(folder, tables['label_null'], split, seed),
                    some,
                    baseline=backwards,
                    max_steps=FEW,
                ).evidence
            )[1]
        if seed == 0:
            more |= checks(model, some, lag) | dict(
                untrained=[untrained(some, i) for i in range(10)]
            )
        return found, more


def untrained(some, seed):
    """How far the maps of a model with random weights are from knowing nothing,
    smoothed.
    """
    seed_everything(100 + seed)
    model = BrainMT.from_preset('tiny')
    zeros, lag = (
        attribute(model, some, max_steps=16),
        attribute(model, some, baseline=backwards, max_steps=16),
    )
    return {
        'size, from zeros': grade(zeros.map)[1],
        'evidence, from zeros': grade(zeros.evidence)[1],
        'evidence, from the scan played backwards': grade(lag.evidence)[1],
        'its t over subjects': grade(lag.t)[1],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), get_context('spawn')) as pool:
        results = list(pool.map(one_seed, seeds))
    first = results[0][1]
    print(
        f'{len(results)} trainings, each on a cohort of its own; 8 held-out subjects; '
        f'AUROC against {" and ".join(TARGETS)}\n'
    )
    print(
        f'{"map":<44} {"raw":>6} {"smoothed":>9} {"lowest":>7} '
        f'{"untrained: mean |AUROC - 0.5|":>30}'
    )
    for name in results[0][0]:
        raw, smoothed = ([found[name][i] for found, _ in results] for i in (0, 1))
        off = [abs(u[name] - 0.5) for u in first['untrained'] if name in u]
        print(
            f'{name:<44} {statistics.mean(raw):>6.3f} '
            f'{statistics.mean(smoothed):>9.3f} {min(smoothed):>7.3f} '
            f'{f"{statistics.mean(off):.2f}" if off else "":>30}'
        )
    print(
        '\nevidence, backwards, each training: '
        + ', '.join(
            f'{found["evidence, from the scan played backwards"][1]:.3f}'
            for found, _ in results
        )
        + f'; largest gap of completeness {max(m["gap"] for _, m in results):.2%}'
    )
    print(
        'by width of smoothing: '
        + ', '.join(
            f'{w} mm {statistics.mean(m["widths"][w] for _, m in results):.2f}'
            for w in WIDTHS
        )
    )
    print(
        'trained on shuffled labels: '
        + ', '.join(f'{m["lies"]:.2f}' for _, m in results if 'lies' in m)
    )
    print(
        f'\nfirst seed: strength at the edge {first["edge"]:.2f}; without one network '
        f'the answer loses at most {first["lost"]:.2f} of {first["logits"]:.1f} logits'
    )
    print(
        'random weights from the top, correlation with the trained map: '
        + ', '.join(f'{name} {r:.2f}' for name, r in first['cascade'])
    )


if __name__ == '__main__':
    main()
