"""Slides of one notebook, in one HTML file that needs no network: python tools/slides.py 04_scan → _slides/04_scan.html

One slide for each section with the first sentence of its text and the first code that is short enough to be read from afar, one for each figure,
the recap and the exercises without their answers. Arrow keys turn the pages. (Where Quarto is: quarto render nbs/04_scan.ipynb --to revealjs.)
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from book import ROOT, directives, notebooks
from docs import CITATIONS, TOOLS, cell_markdown, pandoc, text_of

LONGEST = 14  # lines of code on a slide
# headings, tables, quotations, lists, formulas, the shape ribbon
NO_PROSE = re.compile(r'[#|>!:<`$]|[-*] |\d+\. |`\(X')


def first_sentence(text, ends='.?!'):
    # the labels 'The question.', 'The answer.'
    text = re.sub(r'\*\*The \w+\.\*\* ', '', text)
    paragraphs = [
        p.strip()
        for p in re.split(r'\n\s*\n', text)
        if p.strip() and not NO_PROSE.match(p.strip())
    ]
    return (
        re.match(rf'.+?(?:[{ends}](?=\s|\*|$)\**|$)', paragraphs[0].replace('\n', ' '))[
            0
        ].rstrip(':')
        if paragraphs
        else ''
    )


def sections(cells):
    """[(heading, text, [code cells])]; the first has the notebook's question under its
    title.
    """
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


def slides(cells, folder):
    "The notebook's slides as Markdown; a heading of level 1 begins one."
    for i, (heading, text, codes) in enumerate(sections(cells)):
        if heading.startswith('Answers'):
            continue
        whole = re.match('Recap|Exercises', heading)
        yield f'# {heading}\n\n' + (
            text.partition(':::')[0]
            if whole
            else first_sentence(text, '?' if i == 0 else '.?!')
        )
        if whole:
            continue
        short = [
            c
            for c in codes
            if not directives(text_of(c['source'])).keys() & {'hide', 'default_exp'}
            and 1 < len(text_of(c['source']).splitlines()) <= LONGEST
            and not re.match(r'(#\|.*\n)*(from|import) ', text_of(c['source']))
        ]
        for j, cell in enumerate(codes):
            figures = [
                out
                for out in cell.get('outputs', [])
                if 'image/png' in out.get('data', {})
            ]
            if figures:
                yield '# \n\n' + cell_markdown(
                    dict(
                        cell,
                        source='#| echo: false\n' + text_of(cell['source']),
                        outputs=figures,
                    ),
                    folder,
                    f'{i}-{j}',
                )
            elif short and cell is short[0]:
                yield cell_markdown(dict(cell, outputs=[]), folder, '')


def template(folder):
    "pandoc's own, without the font that it would fetch."
    (folder / 'slides.html').write_text(
        re.sub(
            r'<link [^>]*//fonts[^>]*>',
            '',
            pandoc('', '--print-default-template', 'dzslides'),
        ),
        encoding='utf-8',
    )
    return folder / 'slides.html'


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='+', help='notebooks, as in 04_scan')
    parser.add_argument('--out', type=Path, default=ROOT / '_slides')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for path in notebooks(args.names):
        with tempfile.TemporaryDirectory() as tmp:
            text = '\n\n'.join(
                slides(
                    json.loads(path.read_text(encoding='utf-8'))['cells'],
                    Path(tmp) / 'figures',
                )
            )
            # other notebooks are not beside a slide
            text = re.sub(r'\[([^\]]+)\]\([^)\s]*\.ipynb[^)]*\)', r'\1', text)
            made = pandoc(
                text,
                '--to',
                'dzslides',
                '--standalone',
                '--mathml',
                '--embed-resources',
                '--resource-path',
                tmp,
                '--slide-level',
                1,
                '--template',
                template(Path(tmp)),
                '--include-in-header',
                TOOLS / 'slides.html',
                '--metadata',
                f'pagetitle={path.stem}',
                *CITATIONS[:-2],
            )
        (args.out / f'{path.stem}.html').write_text(made, encoding='utf-8')
        print(f'{made.count("<section")} slides in {args.out.name}/{path.stem}.html')


if __name__ == '__main__':
    main()
