"""A folder for a lecture room without a network: packages, pages, notebooks, slides.

python tools/lecture.py                     everything, in _lecture
python tools/lecture.py --platforms linux --python 3.12     one platform and Python
python tools/lecture.py --only einops --no-pages            a small try

Packages have the versions that are installed here, also for other platforms.
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
from book import NBS, ROOT, notebooks
from checks import copy_of_sources
from install import CPU_WHEELS, reachable
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def marks(sys_platform, platform_system, platform_machine, os_name):
    "What a requirement's marker asks of a platform."
    return dict(locals())


MANYLINUX = ('2_28', '2_27', '2_17', '2014')
MACOS = [
    f'macosx_{v}_0_{kind}' for v in (14, 13, 12, 11) for kind in ('arm64', 'universal2')
]
TARGETS = {
    'linux': (
        marks('linux', 'Linux', 'x86_64', 'posix'),
        ['manylinux' + ('' if v == '2014' else '_') + f'{v}_x86_64' for v in MANYLINUX],
    ),
    'macos': (marks('darwin', 'Darwin', 'arm64', 'posix'), MACOS),
    'windows': (marks('win32', 'Windows', 'AMD64', 'nt'), ['win_amd64']),
}
# to run the commands, the notebooks' tests, and the notebooks
WANTED = ('brainmt', 'nbdev', 'ipykernel', 'jupyterlab')
# hundreds of megabytes each; torch's CPU build does without
GPU_ONLY = ('nvidia-', 'cuda-', 'triton')
START = """# brainmt without a network

Read: open `pages/index.html`, or `slides/` (arrow keys). Nothing needs to be installed
for that.

Run (Python {python}): in this folder, with your platform's name ({platforms}) for
`linux`; on Windows `py -m venv env` and `env\\Scripts` for `env/bin`:

    python3 -m venv env
    env/bin/pip install --no-index --find-links wheels/linux {roots}
    env/bin/brainmt-demo    # synthetic scans to an explained prediction

The notebooks: `env/bin/jupyter lab notebooks/course.ipynb` if `jupyterlab` was packed,
else open them in your editor.
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


def closure(names, platform, left_out=()):
    "{name: version or ''} of all that packages need on a platform, as installed here."
    found, todo = {}, [Requirement(name) for name in names]
    while todo:
        need = todo.pop()
        key = f'{canonicalize_name(need.name)}{sorted(need.extras) or ""}'
        if key in found or key.startswith(tuple(left_out)):
            continue
        try:
            here = distribution(need.name)
        except PackageNotFoundError:
            found[key] = (need.name, '')
            continue
        found[key] = (need.name, here.version.partition('+')[0])
        for child in map(Requirement, here.requires or []):
            asked = [platform | {'extra': extra} for extra in ('', *need.extras)]
            if not child.marker or any(map(child.marker.evaluate, asked)):
                todo.append(child)
    return dict(found.values())


def wheels(out, platform, python, only):
    "Fill one platform's folder. Gives what could not be had, with pip's reason."
    target, tags = TARGETS[platform]
    target = target | dict(python_version=python, python_full_version=python + '.0')
    cpu = platform == 'linux' and reachable(f'{CPU_WHEELS}/torch/')
    left_out = GPU_ONLY if cpu or platform != 'linux' else ()
    options = ['--python-version', python, '--only-binary=:all:', '--no-deps']
    options += ['--quiet', '--dest', out]
    options += [word for tag in tags for word in ('--platform', tag)]
    failed = {}
    for name, version in sorted(closure(only or there(), target, left_out).items()):
        if name == 'brainmt':
            continue
        spec = f'{name}=={version}' if version else name
        index = ['--index-url', CPU_WHEELS] if name == 'torch' and cpu else []
        problem = pip('download', *index, *options, spec)
        problem = problem and source_only(out, spec)
        if problem:
            failed[spec] = problem
    return failed


def own_wheel(folder):
    "Build brainmt's wheel into a folder. Gives pip's reason where that fails."
    quiet = ('--no-deps', '--no-build-isolation', '--quiet')
    with tempfile.TemporaryDirectory() as tmp:
        source = copy_of_sources(Path(tmp))
        return pip('wheel', *quiet, '--wheel-dir', folder, source)


def write_pages(out):
    "The docs and the slides of the book's chapters."
    if problems := docs.write_site(out / 'pages'):
        sys.exit('\n'.join(problems))
    chapters = [p.stem for p in notebooks() if docs.number_of(p)]
    command = [sys.executable, ROOT / 'tools' / 'slides.py', *chapters]
    subprocess.run([*command, '--out', out / 'slides'], check=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    everywhere, this = list(TARGETS), '{}.{}'.format(*sys.version_info)
    parser.add_argument('--platforms', nargs='+', choices=TARGETS, default=everywhere)
    parser.add_argument('--python', default=this)
    parser.add_argument('--only', nargs='*')
    parser.add_argument('--no-pages', action='store_true')
    parser.add_argument('--out', type=Path, default=ROOT / '_lecture')
    args = parser.parse_args()
    out, missing = args.out.resolve(), 0
    for platform in args.platforms:
        folder = out / 'wheels' / platform
        folder.mkdir(parents=True, exist_ok=True)
        why = own_wheel(folder)
        failed = {'brainmt': why} if why else {}
        failed |= wheels(folder, platform, args.python, args.only)
        found = [p.stat().st_size for p in folder.iterdir()]
        print(
            f'{platform}: {len(found)} packages, {sum(found) / 1e6:.0f} MB', flush=True
        )
        for spec, why in failed.items():
            print(f'  not to be had: {spec}: {why[:200]}', flush=True)
        missing += len(failed)
    ignore = shutil.ignore_patterns('__pycache__', '.*', '_*')
    shutil.copytree(NBS, out / 'notebooks', dirs_exist_ok=True, ignore=ignore)
    names = dict(platforms=', '.join(args.platforms), roots=' '.join(there()))
    start = START.format(python=args.python, **names)
    (out / 'START.md').write_text(start, encoding='utf-8')
    if not args.no_pages:
        write_pages(out)
    if missing:
        sys.exit(f'{missing} packages are missing; the rest is in {out.name}/.')
    print(f'{out.name}/ is ready: START.md says how to begin.')


if __name__ == '__main__':
    main()
