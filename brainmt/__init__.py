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

MODULES = {  # what a user types, by the module that has it
    'core': 'InputError',
    'data.synth': 'SynthConfig brain_grid make_subject',
    'data.layout': 'find_runs',
    'data.volume': 'load_bold',
    'data.space': 'find_space',
    'data.normalize': 'normalize',
    'data.store': 'write_run open_run open_cohort',
    'data.fingerprint': 'PreprocessConfig',
    'data.preprocess': 'preprocess_run',
    'data.cohort': 'preprocess_cohort read_manifest',
    'data.subjects': 'match_subjects',
    'data.phenotype': 'read_table',
    'data.split': 'make_split audit_split',
    'data.loaders': 'make_dls',
    'kernels.operators': 'selective_scan',
    'model.brainmt': 'BrainMT BrainMTConfig load_released',
    'model.estimate': 'estimate',
    'training.learner': 'TrainConfig brainmt_learner train',
    'evaluation.predict': 'predict',
    'evaluation.scoring': 'evaluate compare',
    'evaluation.baseline': 'baseline',
    'evaluation.explain': 'attribute',
}
NAMES = {name: module for module in MODULES for name in MODULES[module].split()}
PARTS = 'core reference data kernels model training evaluation reporting cli'.split()


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
