"""The structure of the library, read from its source: parts, imports, names, size."""

import ast
from collections import defaultdict
from pathlib import Path

# data flows one way; a part imports from itself and from those before it
PARTS = ('data', 'kernels', 'model', 'training', 'evaluation', 'reporting', 'cli')


def modules(library):
    "{dotted name without the library's own: path}, hand-written packages left out."
    found = {}
    for path in sorted(Path(library).rglob('*.py')):
        if path.name not in ('__init__.py', '__main__.py', '_modidx.py'):
            found['.'.join(path.relative_to(library).with_suffix('').parts)] = path
    return found


def part_of(module):
    "The part of a module; None for `core` and `reference`, which stand above all."
    part = module.split('.')[0]
    return part if part in PARTS else None


def imported(tree, module, names):
    "(module, name, line) of all that a syntax tree imports from the library."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                above = module.split('.')[: -node.level]
                origin = '.'.join([*above, *filter(None, [node.module])])
            elif (node.module or '').split('.')[0] == 'brainmt':
                origin = node.module.removeprefix('brainmt').removeprefix('.')
            else:
                continue
            for alias in node.names:
                inside = f'{origin}.{alias.name}'.removeprefix('.')
                if inside in names:
                    yield inside, None, node.lineno
                else:
                    yield origin, alias.name, node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith('brainmt.'):
                    yield alias.name.removeprefix('brainmt.'), None, node.lineno


def against_order(module, other):
    "Whether an import of `other` by `module` runs against the order of the parts."
    own, part = part_of(module) if '.' in module else None, part_of(other)
    if part is None or module.split('.')[0] == 'reference':
        return False
    return own is None or PARTS.index(part) > PARTS.index(own)


def problems(library):
    "Imports against the order, circles, private names of other modules, long modules."
    found, uses = modules(library), defaultdict(set)
    for module, path in found.items():
        text = path.read_text(encoding='utf-8')
        for other, name, line in imported(ast.parse(text), module, found):
            where = f'{path.relative_to(library.parent)}:{line}'
            uses[module].add(other)
            if name and name.startswith('_') and not name.startswith('__'):
                yield f'{where}: takes the private name {name} from {other}.'
            if against_order(module, other):
                yield f'{where}: imports from {other}, which comes later.'
        if len(text.splitlines()) > 400:
            yield f'{module}: {len(text.splitlines())} lines, expected at most 400.'
    for circle in circles(uses):
        yield f'modules import each other in a circle: {" → ".join(circle)}'


def circles(uses):
    "One circle for each strongly connected set of modules, found by walking."
    done = set()

    def walk(module, trail):
        if module in trail:
            yield (*trail[trail.index(module) :], module)
        elif module not in done:
            for other in sorted(uses.get(module, ())):
                yield from walk(other, (*trail, module))
            done.add(module)

    for module in sorted(uses):
        yield from walk(module, ())


def top_level(tree):
    "Names of functions, classes and constants that a module defines."
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            calls = [getattr(d, 'func', d) for d in node.decorator_list]
            if 'patch' not in [getattr(call, 'id', '') for call in calls]:
                yield node.name
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id != '__all__':
                    yield target.id


def shared_names(library):
    "{name: modules} of the names that several modules define; `reference` is a twin."
    where, found = defaultdict(list), modules(library)
    found.pop('reference', None)
    for module, path in found.items():
        for name in dict.fromkeys(
            top_level(ast.parse(path.read_text(encoding='utf-8')))
        ):
            where[name].append(module)
    return {name: found for name, found in sorted(where.items()) if len(found) > 1}
