"""Slides of one notebook, in one HTML file that needs no network.

python tools/slides.py 04_scan      makes _slides/04_scan.html

One slide for each section with the first sentence of its text and the first code that
is short enough to be read from afar, one for each figure, the recap and the exercises
without their answers. Arrow keys turn the pages.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

from book import ROOT, directives, notebooks
from docs import TOOLS
from pages import CITATIONS, cell_markdown, pandoc, text_of

LONGEST = 14  # lines of code on a slide
# headings, tables, quotations, lists, formulas, the shape ribbon
NO_PROSE = re.compile(r'[#|>!:<`$]|[-*] |\d+\. |`\(X')


def first_sentence(text, ends='.?!'):
    # the labels 'The question.', 'The answer.'
    text = re.sub(r'\*\*The \w+\.\*\* ', '', text)
    for paragraph in re.split(r'\n\s*\n', text):
        line = paragraph.strip().replace('\n', ' ')
        if line and not NO_PROSE.match(line):
            return re.match(rf'.+?(?:[{ends}](?=\s|\*|$)\**|$)', line)[0].rstrip(':')
    return ''


def sections(cells):
    "[(heading, text, [code cells])]; the first has the question under its title."
    found = []
    for cell in cells:
        if cell['cell_type'] == 'code' and found:
            found[-1][2].append(cell)
        if cell['cell_type'] != 'markdown':
            continue
        head, *parts = re.split(
            r'^#{1,2} ', text_of(cell['source']), flags=re.MULTILINE
        )
        if found:
            found[-1][1] += '\n\n' + head
        found += [
            [part.partition('\n')[0], part.partition('\n')[2], []] for part in parts
        ]
    return found


def is_short(cell):
    "Whether a cell's code can be read from afar, and is more than imports."
    source = text_of(cell['source'])
    if directives(source).keys() & {'hide', 'default_exp'}:
        return False
    imports = re.match(r'(#\|.*\n)*(from|import) ', source)
    return not imports and 1 < len(source.splitlines()) <= LONGEST


def slides(cells, folder):
    "The notebook's slides as Markdown; a heading of level 1 begins one."
    for i, (heading, text, codes) in enumerate(sections(cells)):
        if heading.startswith(('Answers', 'Tests')):
            continue
        if re.match('Recap|Exercises', heading):
            yield f'# {heading}\n\n{text.partition(":::")[0]}'
            continue
        yield f'# {heading}\n\n{first_sentence(text, "?" if i == 0 else ".?!")}'
        short = next(filter(is_short, codes), None)
        for j, cell in enumerate(codes):
            outputs = cell.get('outputs', [])
            figures = [out for out in outputs if 'image/png' in out.get('data', {})]
            if figures:
                source = '#| echo: false\n' + text_of(cell['source'])
                shown = dict(cell, source=source, outputs=figures)
                yield '# \n\n' + cell_markdown(shown, folder, f'{i}-{j}')
            elif cell is short:
                yield cell_markdown(dict(cell, outputs=[]), folder, '')


def template(folder):
    "pandoc's own, without the font that it would fetch."
    own = pandoc('', '--print-default-template', 'dzslides')
    path = folder / 'slides.html'
    path.write_text(re.sub(r'<link [^>]*//fonts[^>]*>', '', own), encoding='utf-8')
    return path


def write_slides(path, out):
    "The slides of one notebook; how many there are."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    with tempfile.TemporaryDirectory() as tmp:
        text = '\n\n'.join(slides(cells, Path(tmp) / 'figures'))
        # other notebooks are not beside a slide
        text = re.sub(r'\[([^\]]+)\]\([^)\s]*\.ipynb[^)]*\)', r'\1', text)
        made = pandoc(
            text,
            *('--to', 'dzslides', '--standalone', '--mathml', '--slide-level', 1),
            *('--embed-resources', '--resource-path', tmp),
            *('--template', template(Path(tmp))),
            *('--include-in-header', TOOLS / 'slides.html'),
            *('--metadata', f'pagetitle={path.stem}', *CITATIONS),
        )
    (out / f'{path.stem}.html').write_text(made, encoding='utf-8')
    return made.count('<section')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='+', help='notebooks, as in 04_scan')
    parser.add_argument('--out', type=Path, default=ROOT / '_slides')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in notebooks(args.names):
        count = write_slides(path, args.out)
        print(f'{count} slides in {args.out.name}/{path.stem}.html')


if __name__ == '__main__':
    main()
