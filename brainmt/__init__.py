"""BrainMT, step by step: from 4D fMRI to a phenotype, an honest number and a map.

Importing this loads nothing else. A name is loaded when it is first used:

    import brainmt
    model = brainmt.BrainMT.from_preset('tiny')    # torch is loaded here

The parts, in the order in which data flows through them:

    brainmt.data        from files to windows of normalised frames
    brainmt.kernels     the selective scan and the causal convolution, fast
    brainmt.model       the network, its presets and its checkpoints
    brainmt.training    fastai's Learner, DDP, resuming
    brainmt.evaluation  prediction, scores, baselines, attribution maps
    brainmt.reporting   figures, reports, viewers
    brainmt.cli         the commands

`brainmt.reference` is the whole model in one file of plain PyTorch.
"""

__version__ = "0.2.0"

from importlib import import_module

NAMES = {  # what a user types, and the module that has it
    'InputError': 'core',
    'find_runs': 'data.layout',
    'load_bold': 'data.volume',
    'write_run': 'data.store',
    'open_run': 'data.store',
    'open_cohort': 'data.store',
    'PreprocessConfig': 'data.preprocess',
    'preprocess_run': 'data.preprocess',
    'preprocess_cohort': 'data.cohort',
    'read_table': 'data.phenotype',
    'make_split': 'data.split',
    'audit_split': 'data.split',
    'make_dls': 'data.windows',
    'selective_scan': 'kernels.operators',
    'BrainMT': 'model.brainmt',
    'BrainMTConfig': 'model.brainmt',
    'load_released': 'model.brainmt',
    'estimate': 'model.estimate',
    'TrainConfig': 'training.learner',
    'brainmt_learner': 'training.learner',
    'train': 'training.learner',
    'predict': 'evaluation.predict',
    'evaluate': 'evaluation.scoring',
    'compare': 'evaluation.scoring',
    'baseline': 'evaluation.baseline',
    'attribute': 'evaluation.explain',
}
PARTS = (
    'core', 'reference', 'data', 'kernels', 'model',
    'training', 'evaluation', 'reporting', 'cli',
)  # fmt: skip


def __getattr__(name):
    "One of `NAMES`, or a part of the library, loaded when it is first asked for."
    if name in NAMES:
        return getattr(import_module(f'{__name__}.{NAMES[name]}'), name)
    if name in PARTS:
        return import_module(f'{__name__}.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    "All names, loaded or not, for completion by the Tab key."
    return sorted({'__version__', *NAMES, *PARTS})
