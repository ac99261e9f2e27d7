"""A folder to take to a lecture room without a network: packages for each platform, the book as pages, notebooks and slides.

python tools/lecture.py                                     everything, in _lecture; for platforms other than this one, the same versions
python tools/lecture.py --platforms linux --python 3.12     for one platform, and Python 3.12 there
python tools/lecture.py --only einops --no-pages            a small try: brainmt's own wheel and one package
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import docs
from book import NBS, ROOT
from install import CPU_WHEELS, reachable
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test import copy_of_sources

TARGETS = {
    'linux': (
        dict(
            sys_platform='linux',
            platform_system='Linux',
            platform_machine='x86_64',
            os_name='posix',
        ),
        [
            'manylinux_2_28_x86_64',
            'manylinux_2_27_x86_64',
            'manylinux_2_17_x86_64',
            'manylinux2014_x86_64',
        ],
    ),
    'macos': (
        dict(
            sys_platform='darwin',
            platform_system='Darwin',
            platform_machine='arm64',
            os_name='posix',
        ),
        [
            f'macosx_{v}_0_{kind}'
            for v in (14, 13, 12, 11)
            for kind in ('arm64', 'universal2')
        ],
    ),
    'windows': (
        dict(
            sys_platform='win32',
            platform_system='Windows',
            platform_machine='AMD64',
            os_name='nt',
        ),
        ['win_amd64'],
    ),
}
# to run the commands, the notebooks' tests, and the notebooks
WANTED = ('brainmt', 'nbdev', 'ipykernel', 'jupyterlab')
# hundreds of megabytes each; torch's CPU build does without
GPU_ONLY = ('nvidia-', 'cuda-', 'triton')
START = """# brainmt without a network

Read: open `pages/index.html`, or `slides/` (arrow keys). Nothing needs to be installed for that.

Run (Python {python}): in this folder, with your platform's name ({platforms}) for `linux`,

    python3 -m venv env                                                        # Windows: py -m venv env
    env/bin/pip install --no-index --find-links wheels/linux {roots}    # Windows: env\\Scripts\\pip
    env/bin/brainmt-demo                                                       # synthetic scans to an explained prediction
    env/bin/jupyter lab notebooks/course.ipynb                                 # if `jupyterlab` was packed; else open the notebook in your editor
"""


def pip(*args):
    run = subprocess.run(
        [sys.executable, '-m', 'pip', '--disable-pip-version-check', *map(str, args)],
        capture_output=True,
        text=True,
    )
    return '' if run.returncode == 0 else ' '.join(run.stderr.strip().splitlines()[-1:])


def there():
    return [name for name in WANTED if find_spec(name)]


def source_only(out, spec):
    """A package of pure Python that exists as source only, built here.

    Whatever else comes out is of no use on another platform.
    """
    with tempfile.TemporaryDirectory() as tmp:
        problem = pip('wheel', '--no-deps', '--quiet', '--wheel-dir', tmp, spec)
        for path in Path(tmp).glob('*-none-any.whl'):
            shutil.move(path, out / path.name)
            return ''
    return problem or 'no wheel for this platform'


def closure(names, marks, left_out=()):
    """Packages that these need on a platform, in the versions that are installed and
    tested here: {name: version or ''}.
    """
    found, todo = {}, [Requirement(name) for name in names]
    while todo:
        need = todo.pop()
        key = f'{canonicalize_name(need.name)}{sorted(need.extras) or ""}'
        if key in found or key.startswith(tuple(left_out)):
            continue
        try:
            here = distribution(need.name)
        except PackageNotFoundError:
            found[key] = ('', need.name)
            continue
        found[key] = (here.version.partition('+')[0], need.name)
        for text in here.requires or []:
            child = Requirement(text)
            if not child.marker or any(
                child.marker.evaluate(marks | {'extra': extra})
                for extra in ['', *need.extras]
            ):
                todo.append(child)
    return {name: version for version, name in found.values()}


def wheels(out, platform, python, only):
    "Fill one platform's folder. Gives what could not be had, with pip's reason."
    marks, tags = TARGETS[platform]
    cpu = platform == 'linux' and reachable(f'{CPU_WHEELS}/torch/')
    packages = closure(
        only or there(),
        marks | dict(python_version=python, python_full_version=python + '.0'),
        GPU_ONLY if cpu or platform != 'linux' else (),
    )
    options = [word for tag in tags for word in ('--platform', tag)] + [
        '--python-version',
        python,
        '--only-binary=:all:',
        '--no-deps',
        '--quiet',
        '--dest',
        out,
    ]
    failed = {}
    for name, version in sorted(packages.items()):
        if name == 'brainmt':
            continue
        spec = f'{name}=={version}' if version else name
        index = (
            ['--index-url', CPU_WHEELS]
            if name == 'torch' and platform == 'linux' and cpu
            else []
        )
        problem = pip('download', *index, *options, spec)
        problem = problem and source_only(out, spec)
        if problem:
            failed[spec] = problem
    return failed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--platforms', nargs='+', choices=TARGETS, default=list(TARGETS)
    )
    parser.add_argument('--python', default='{}.{}'.format(*sys.version_info))
    parser.add_argument('--only', nargs='*')
    parser.add_argument('--no-pages', action='store_true')
    parser.add_argument('--out', type=Path, default=ROOT / '_lecture')
    args = parser.parse_args()
    out, lacks = args.out.resolve(), 0
    for platform in args.platforms:
        folder = out / 'wheels' / platform
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as tmp:
            why = pip(
                'wheel',
                '--no-deps',
                '--no-build-isolation',
                '--quiet',
                '--wheel-dir',
                folder,
                copy_of_sources(Path(tmp)),
            )
        failed = ({'brainmt': why} if why else {}) | wheels(
            folder, platform, args.python, args.only
        )
        size, lacks = (
            sum(p.stat().st_size for p in folder.iterdir()) / 1e6,
            lacks + len(failed),
        )
        print(
            f'{platform}: {len(list(folder.iterdir()))} packages, {size:.0f} MB'
            + ''.join(
                f'\n  not to be had: {spec}: {why[:200]}'
                for spec, why in failed.items()
            ),
            flush=True,
        )
    shutil.copytree(
        NBS,
        out / 'notebooks',
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns('__pycache__', '.*', '_*'),
    )
    (out / 'START.md').write_text(
        START.format(
            python=args.python,
            platforms=', '.join(args.platforms),
            roots=' '.join(there()),
        ),
        encoding='utf-8',
    )
    if not args.no_pages:
        if problems := docs.write_site(out / 'pages'):
            sys.exit('\n'.join(problems))
        subprocess.run(
            [
                sys.executable,
                ROOT / 'tools' / 'slides.py',
                *(p.stem for p in docs.notebooks() if p.stem[0].isdigit()),
                '--out',
                out / 'slides',
            ],
            check=True,
        )
    print(
        f'{out.name}/ is ready: START.md says how to begin.'
        if not lacks
        else f'{lacks} packages are missing; the rest is in {out.name}/.'
    )
    sys.exit(bool(lacks))


if __name__ == '__main__':
    main()
