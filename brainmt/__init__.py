"""BrainMT, step by step: from 4D fMRI to a phenotype, an honest number and a map.

Importing this loads nothing else; a module comes when its name is first used.

    import brainmt
    brainmt.synth.SynthConfig(n_frames=48)     # brainmt.synth is loaded here

The modules and what is in them: https://brainmt.github.io/brainmt
"""

__version__ = "0.1.0"

from importlib import import_module as _import_module

def __getattr__(name):
    "A module of this library, loaded when it is first asked for."
    problem = f'module {__name__!r} has no attribute {name!r}'
    if name.startswith('_'): raise AttributeError(problem)
    try: return _import_module(f'{__name__}.{name}')
    except ModuleNotFoundError as e:
        if e.name != f'{__name__}.{name}': raise   # the module is there, and one that it needs is not
        raise AttributeError(problem) from None

def __dir__():
    "All modules, loaded or not, for completion by the Tab key."
    from pkgutil import iter_modules
    return sorted({'__version__', *(m.name for m in iter_modules(__path__) if not m.name.startswith('_'))})
