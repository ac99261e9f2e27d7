"""How the book reads, in numbers: one row for each notebook.

    python tools/style.py                       all notebooks
    python tools/style.py 07_model              one
    python tools/style.py --times LOG           with the seconds that `make test` printed, from a file that holds its output

Columns: code cells; lines of code in a cell, mean and nine cells in ten (imports, hidden cells, comments and empty lines do not count); the longest row of code cells
without a sentence between; prose as a share of the words of text and code; definitions that are used or tested within three cells, or were asked for in the three cells before; assertions; figures; exercises; kilobytes; seconds.
A number with * is outside what STYLE.md asks for.
"""

import argparse
import ast
import io
import json
import re
import statistics
import tokenize
from pathlib import Path

from book import directives, notebooks

AIMS = {
    'mean': lambda v: v <= 8,
    'row': lambda v: v <= 2,
    'prose': lambda v: 40 <= v <= 65,
    'used': lambda v: v >= 85,
    'seconds': lambda v: v <= 60,
    'kB': lambda v: v <= 400,
}

# methods that Python, Jupyter, PyTorch or huggingface_hub call; no cell names them
CALLED = re.compile(r'__\w+__|_repr_\w+_|forward|_(?:save|from)_pretrained')


def words(text):
    return len(re.findall(r'\w+', text))


def code_words(source, tree):
    """Words of code; comments and docstrings are read like prose and written like code,
    and count as neither.
    """
    docs = [
        (node.body[0].lineno, node.body[0].end_lineno)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and ast.get_docstring(node) is not None
    ]
    found = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            doc = token.type == tokenize.STRING and any(
                a <= token.start[0] <= b for a, b in docs
            )
            if token.type != tokenize.COMMENT and not doc:
                found += words(token.string)
    except (tokenize.TokenError, IndentationError):
        pass
    return found


def parsed(source):
    try:
        return ast.parse(re.sub(r'^\s*[%!].*$', '', source, flags=re.MULTILINE))
    except SyntaxError:
        return ast.Module([], [])


def only_imports(tree):
    return bool(tree.body) and all(
        isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body
    )


def lines(tree):
    """Lines that hold code; a statement over three lines counts as three, docstrings
    not at all.
    """
    texts = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    held = {
        line
        for node in ast.walk(tree)
        if hasattr(node, 'lineno')
        for line in (
            [node.lineno, node.end_lineno]
            if isinstance(
                node,
                (ast.FunctionDef, ast.ClassDef, ast.With, ast.For, ast.If, ast.Try),
            )
            else range(node.lineno, node.end_lineno + 1)
        )
    }
    return len(held - texts)


def defined(tree):
    """Names that somebody has to use.

    `@operator.register_fake` and the like hand the function on at its birth.
    """
    handed_on = lambda node: any(
        getattr(d, 'attr', '').startswith('register') for d in node.decorator_list
    )
    return [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not CALLED.fullmatch(node.name)
        and not handed_on(node)
    ]


def named(tree):
    return {
        getattr(node, 'id', None) or getattr(node, 'attr', None)
        for node in ast.walk(tree)
    }


def assertions(tree):
    called = [
        getattr(node.func, 'id', getattr(node.func, 'attr', ''))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    return sum(isinstance(node, ast.Assert) for node in ast.walk(tree)) + sum(
        name.startswith(('test_', 'assert_', 'expect_fail', 'refused'))
        for name in called
    )


def measure(path):
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    prose, code, row, longest, trees, figures = 0, 0, 0, 0, [], 0
    for cell in cells:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            prose += words(re.sub(r'```.*?```', '', source, flags=re.DOTALL))
            row = 0
            continue
        figures += any(
            'image/png' in out.get('data', {}) or 'image/svg+xml' in out.get('data', {})
            for out in cell.get('outputs', [])
        )
        tree = parsed(source)
        if directives(source).keys() & {'hide', 'default_exp'} or only_imports(tree):
            continue
        code += code_words(source, tree)
        trees.append(tree)
        row += 1
        longest = max(longest, row)
    sizes = [lines(tree) for tree in trees] or [0]
    births = [(i, name) for i, tree in enumerate(trees) for name in defined(tree)]
    used = [
        any(
            name in named(tree)
            for tree in (*trees[max(0, i - 3) : i], *trees[i + 1 : i + 4])
        )
        or name
        in named(
            ast.Module(
                [
                    n
                    for n in trees[i].body
                    if not (
                        isinstance(n, (ast.FunctionDef, ast.ClassDef))
                        and n.name == name
                    )
                ],
                [],
            )
        )
        for i, name in births
    ]
    text = '\n'.join(
        ''.join(c['source']) for c in cells if c['cell_type'] == 'markdown'
    )
    exercises = re.search(r'#+ Exercises\s+(.*?)(?:\n:::|\Z)', text, flags=re.DOTALL)
    return dict(
        cells=len(trees),
        mean=statistics.mean(sizes),
        p90=sorted(sizes)[int(0.9 * (len(sizes) - 1))],
        row=longest,
        prose=100 * prose / max(1, prose + code),
        used=100 * sum(used) / len(used) if used else 100,
        asserts=sum(map(assertions, trees)),
        figures=figures,
        exercises=len(re.findall(r'^\d+\. ', exercises[1], flags=re.MULTILINE))
        if exercises
        else 0,
        kB=path.stat().st_size / 1000,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='*')
    parser.add_argument('--times', type=Path)
    args = parser.parse_args()
    times = (
        dict(
            reversed(m)
            for m in re.findall(
                r'^ok\s+([\d.]+) s  (\S+)$', args.times.read_text(), flags=re.MULTILINE
            )
        )
        if args.times
        else {}
    )
    rows = {
        path.stem: measure(path)
        | ({'seconds': float(times[path.stem])} if path.stem in times else {})
        for path in notebooks(args.names)
    }
    heads = list(max(rows.values(), key=len))
    print(f'{"":<18}' + ''.join(f'{head:>10}' for head in heads))
    for name, row in rows.items():
        shown = lambda head: (
            (f'{row[head]:.1f}' if head in ('mean', 'seconds') else f'{row[head]:.0f}')
            + ('' if AIMS.get(head, lambda v: True)(row[head]) else '*')
        )
        print(
            f'{name:<18}'
            + ''.join(f'{shown(head) if head in row else "":>10}' for head in heads)
        )
    outside = sum(
        not AIMS[h](row[h]) for row in rows.values() for h in row if h in AIMS
    )
    print(
        f'\n{len(rows)} notebooks, {sum(r["cells"] for r in rows.values())} code '
        f'cells, {sum(r["asserts"] for r in rows.values())} assertions, '
        f'{sum(r["figures"] for r in rows.values())} figures; {outside} numbers '
        'outside the aims: mean at most 8 lines, at most 2 cells in a row, prose 40 '
        'to 65 %, used at least 85 %, at most 60 s and 400 kB'
    )


if __name__ == '__main__':
    main()
