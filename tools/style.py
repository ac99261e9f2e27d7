"""How the code reads, in numbers: the style guide's table, for this tree or another.

python tools/style.py                   widths, lengths, order, settings
python tools/style.py --jobs            own functions on the way of the main jobs, too
python tools/style.py --trace           one scan and one batch, file by file
python tools/style.py --chapters        a line a notebook: words, code lines, cells, kB
python tools/style.py --root FOLDER     the same of another checkout, 0.1.0 for instance

Nothing here is a quota; the numbers show where to look.
"""

import argparse
import ast
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path

import structure
from book import ROOT

WIDTH = 88


def parsed(source):
    "The syntax tree of a cell without its magics; empty where there is none."
    try:
        return ast.parse(re.sub(r'^\s*[%!].*$', '', source, flags=re.MULTILINE))
    except SyntaxError:
        return ast.Module([], [])


def cells_of(path, kind):
    "The sources of a notebook's cells of one kind."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [''.join(c['source']) for c in cells if c['cell_type'] == kind]


def book_of(root):
    "The notebooks of a checkout."
    found = sorted((root / 'nbs').rglob('*.ipynb'))
    return [p for p in found if not any(s[0] in '._' for s in p.parts[-3:])]


def sources(root):
    "{group: [source text]} of modules, notebooks, tools and benchmarks."
    read = lambda paths: [p.read_text(encoding='utf-8') for p in sorted(paths)]
    modules = [p for p in (root / 'brainmt').rglob('*.py') if p.name != '_modidx.py']
    code = [text for path in book_of(root) for text in cells_of(path, 'code')]
    return {
        'modules': read(modules),
        'notebooks': code,
        'tools': read((root / 'tools').glob('*.py')),
        'benchmarks': read((root / 'benchmarks').glob('*.py')),
    }


def code_lines(text):
    "Lines that hold code: no comment, no docstring, not empty."
    tree, docs = parsed(text), set()
    for node in ast.walk(tree):
        doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if doc and isinstance(node.value.value, str):
            docs |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith('#') and i not in docs
        for i, line in lines
    )


def semicolons(text):
    "Statements that end with a semicolon; those in strings and comments are none."
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError):
        return 0
    return sum(token.type == tokenize.OP and token.string == ';' for token in tokens)


def tuple_assignments(tree):
    "Assignments of several values to several names on one line."
    pairs = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            pairs += isinstance(node.targets[0], ast.Tuple)
    return pairs


def nested_comprehensions(tree):
    "Comprehensions inside comprehensions."
    kinds = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    outer = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    inner = lambda node: sum(isinstance(n, kinds) for n in ast.walk(node)) > 1
    return sum(inner(node) for node in outer)


def widths(texts):
    "The lines of sources that people read: no generated markers, no captions."
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    return [len(s) for s in lines if not s.lstrip().startswith(('#|', '# %%'))]


def form(root):
    "One row a group: how wide the lines are, and how much stands in one."
    for group, texts in sources(root).items():
        found, trees = sorted(widths(texts)), [parsed(text) for text in texts]
        wide = sum(n > WIDTH for n in found)
        stops = sum(map(semicolons, texts))
        pairs = sum(map(tuple_assignments, trees))
        yield (
            group,
            {
                'lines': len(found),
                f'above {WIDTH}': wide,
                'share': f'{100 * wide / len(found):.1f} %',
                'widest': found[-1],
                'median': statistics.median_low(found),
                '90 %': found[int(0.9 * len(found))],
                '; per 100': f'{100 * stops / len(found):.1f}',
                'tuples per 100': f'{100 * pairs / len(found):.1f}',
                'nested': sum(map(nested_comprehensions, trees)),
            },
        )


def library(root):
    "Size and order of the library."
    found = structure.modules(root / 'brainmt')
    texts = {m: path.read_text(encoding='utf-8') for m, path in found.items()}
    sizes = {m: len(text.splitlines()) for m, text in texts.items()}
    problems = list(structure.problems(root / 'brainmt'))
    count = lambda word: sum(word in problem for problem in problems)
    longest = max(sizes, key=sizes.get)
    return {
        'modules': len(found),
        'parts': len({m.split('.')[0] for m in found if '.' in m}),
        'lines of code': sum(map(code_lines, texts.values())),
        'lines in all': sum(sizes.values()),
        'modules of 100 to 250 lines': sum(100 <= n <= 250 for n in sizes.values()),
        'modules above 400 lines': sum(n > 400 for n in sizes.values()),
        'longest module': f'{longest}, {sizes[longest]} lines',
        'imports against the order': count('comes later'),
        'circles': count('circle'),
        'private names taken from another module': count('private name'),
        'names that several modules define': len(
            structure.shared_names(root / 'brainmt')
        ),
    }


def settings(root):
    "How many keys `brainmt-train` has, Hydra's own left out."
    import yaml

    command = [sys.executable, '-m', 'brainmt', 'train', '--cfg', 'job']
    env = os.environ | {'PYTHONPATH': str(root)}
    run = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True)

    def leaves(node):
        return sum(map(leaves, node.values())) if isinstance(node, dict) else 1

    return leaves(yaml.safe_load(run.stdout)) if run.returncode == 0 else run.stderr


JOBS = """
import collections, importlib, json, os, pkgutil, runpy, sys, tempfile, threading
from pathlib import Path

import brainmt
import torch

job, library = sys.argv[1], str(Path(brainmt.__file__).parent) + os.sep


def find(wanted):
    "The object of this name, wherever this version keeps it."
    for m in pkgutil.walk_packages(brainmt.__path__, 'brainmt.'):
        if m.name.endswith(('__main__', '_modidx', 'reference')):
            continue
        found = vars(importlib.import_module(m.name)).get(wanted)
        if getattr(found, '__module__', None) == m.name:
            return found


@torch.no_grad()
def forward():
    model(x)


def preprocess():
    find('preprocess_run')(scan, 'store')


def batch():
    frames, target = dls.train.one_batch()
    model.train()(frames).sum().backward()


def train():
    sys.argv = ['brainmt', *WORDS.split()]
    sys.stdout = open(os.devnull, 'w')
    try:
        runpy.run_module('brainmt', run_name='__main__')
    except SystemExit as e:
        assert not e.code, e.code
    sys.stdout = sys.__stdout__


WORDS = """
WORDS = (
    'train model=tiny task=classification dataset.img_path=store run.epochs=1 '
    'dataset.target_path=cohort/participants.tsv dataset.target_col=label '
    'run.batch_size=4 checkpoint.dir=run'
)
JOBS += (
    repr(WORDS)
    + """
os.chdir(tempfile.mkdtemp())
if job == 'forward':
    form = dict(volume=(32, 32, 32), num_frames=4, n_mamba=2, n_attention=2)
    form |= dict(stem_widths=(8, 16), stage_widths=(32, 64))
    model = find('BrainMT').from_preset('paper', **form).eval()
    x = torch.randn(1, 4, 1, 32, 32, 32)
    forward()  # compiles
else:
    find('write_cohort')('cohort', find('SynthConfig')(n_subjects=16, n_frames=48))
    scan = next(Path('cohort').rglob('*bold.nii.gz'))
    if job in ('train', 'batch'):
        find('preprocess_cohort')('cohort', 'store', progress=False)
    if job == 'batch':
        table = find('read_table')('cohort/participants.tsv', target='label')
        split = find('make_split')(table.index, seed=0)
        make_dls = find('make_dls')
        dls = make_dls('store', table, split, n_frames=48, batch_size=4)
        model = find('BrainMT').from_preset('tiny')
        batch()  # compiles
entered = {}  # in the order of the first call
inner = ('<listcomp>', '<genexpr>', '<dictcomp>', '<setcomp>', '<lambda>', '<module>')


def watch(frame, event, arg):
    code = frame.f_code
    if event == 'call' and code.co_filename.startswith(library):
        if code.co_name not in inner and code.co_filename.endswith('.py'):
            entered[code.co_filename[len(library):], code.co_qualname] = True


run = vars()[job]
sys.setprofile(watch)
threading.setprofile(watch)
run()
sys.setprofile(None)
threading.setprofile(None)
files = collections.defaultdict(list)
for name, function in entered:
    files[name].append(function)
print(json.dumps(files))
"""
)


def jobs(root, chosen):
    "{module: own functions in the order of their first call} of each job."
    for job in chosen:
        env = os.environ | {'PYTHONPATH': str(root), 'PYTHONWARNINGS': 'ignore'}
        with tempfile.NamedTemporaryFile('w', suffix='.py') as script:
            script.write(JOBS)
            script.flush()
            command = [sys.executable, script.name, job]
            run = subprocess.run(command, env=env, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f'{job}: {run.stderr[-800:]}')
        yield job, json.loads(run.stdout.strip().split('\n')[-1])


def chapters(root):
    "One row a notebook."
    for path in book_of(root):
        code, prose = cells_of(path, 'code'), ' '.join(cells_of(path, 'markdown'))
        yield (
            path.relative_to(root / 'nbs').as_posix(),
            {
                'words': len(prose.split()),
                'code lines': sum(map(code_lines, code)),
                'code cells': len(code),
                'widest': max(widths(code), default=0),
                'kB': round(path.stat().st_size / 1000),
            },
        )


def table(rows):
    "Print rows of one form under their heads."
    rows = list(rows)
    heads = list(rows[0][1])
    first = max(len(name) for name, _ in rows) + 2
    print(' ' * first + ''.join(f'{head:>15}' for head in heads))
    for name, row in rows:
        print(f'{name:<{first}}' + ''.join(f'{row[head]!s:>15}' for head in heads))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--root', type=Path, default=ROOT)
    parser.add_argument('--jobs', action='store_true')
    parser.add_argument('--trace', action='store_true')
    parser.add_argument('--chapters', action='store_true')
    args = parser.parse_args()
    root = args.root.resolve()
    if args.trace:
        for job, files in jobs(root, ('preprocess', 'batch')):
            print(f'\n{job}, file by file, functions in the order of their first call')
            for name, functions in files.items():
                print(f'  {name:<32}{", ".join(functions)}')
        return
    if args.chapters:
        rows = list(chapters(root))
        table(rows)
        print(f'\n{sum(row["words"] for _, row in rows):,} words in {len(rows)} pages')
        return
    table(form(root))
    print()
    for name, value in library(root).items():
        print(f'{name:<42}{value}')
    print(f'{"keys of brainmt-train":<42}{settings(root)}')
    if args.jobs:
        print('\nown functions on the way, and the modules they stand in')
        for job, files in jobs(root, ('forward', 'preprocess', 'train')):
            functions = sum(map(len, files.values()))
            print(f'{job:<14}{functions:>5} in {len(files):>2}: {" ".join(files)}')


if __name__ == '__main__':
    main()
