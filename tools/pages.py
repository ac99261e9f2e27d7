"""A notebook as Markdown, and Markdown as HTML: pandoc is the engine, as in Quarto."""

import base64
import html
import re
import subprocess
import sys

from book import NBS, directives

CELL_FLAGS = {'hide', 'default_exp'}  # cells that no reader sees
CITATIONS = (
    '--citeproc',
    f'--bibliography={NBS / "references.bib"}',
    '--metadata=link-citations=true',
)
REFERENCES = '--metadata=reference-section-title=References'


def text_of(value):
    "A source or an output's text, which nbformat stores whole or as lines."
    return value if isinstance(value, str) else ''.join(value or [])


def fenced(text, language=''):
    "A code block whose fence is longer than any run of backticks inside."
    longest = max((len(run) for run in re.findall(r'`+', text)), default=0)
    ticks = '`' * max(3, longest + 1)
    return f'{ticks}{language}\n{text.rstrip()}\n{ticks}'


def raw_html(text):
    return fenced(text, '{=html}')


def figure(out, known, folder, name):
    "Write one picture into `folder` and give the HTML that shows it."
    png = 'image/png' in out['data']
    kind = 'image/png' if png else 'image/svg+xml'
    data = text_of(out['data'][kind])
    path = folder / (name + ('.png' if png else '.svg'))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(data) if png else data.encode())
    width = (out.get('metadata') or {}).get(kind, {}).get('width')
    size = f' width="{width}"' if width else ''
    alt = html.escape(known.get('fig-alt', ''))
    caption = html.escape(known.get('fig-cap', ''))
    below = f'<figcaption>{caption}</figcaption>' if caption else ''
    image = f'<img src="{folder.name}/{path.name}" alt="{alt}"{size}>'
    return raw_html(f'<figure>{image}{below}</figure>')


def output_markdown(out, known, folder, name):
    "One stored output; of several forms of it the richest that a page can show."
    if out['output_type'] == 'error':
        return fenced('Traceback: ' + out['ename'], '{.output .stderr}')
    if out['output_type'] == 'stream':
        if out['name'] == 'stderr' and known.get('warning') == 'false':
            return ''
        return fenced(text_of(out['text']), '{.output .%s}' % out['name'])
    data = out['data']
    if 'text/html' in data:
        return raw_html(f'<div class="output">{text_of(data["text/html"])}</div>')
    if data.keys() & {'image/png', 'image/svg+xml'}:
        return figure(out, known, folder, name)
    if 'text/markdown' in data:
        return text_of(data['text/markdown'])
    return fenced(text_of(data.get('text/plain')), '{.output}')


def flags_of(cell):
    "A cell's directives; nbdev's processors have taken some out of its source."
    known = directives(text_of(cell.get('source')))
    for key, words in (getattr(cell, 'directives_', None) or {}).items():
        known[key.rstrip(':')] = ' '.join(words).strip('"\'')
    return known


def cell_markdown(cell, folder, name):
    "One cell as a page shows it; '' for one that no reader sees."
    source = text_of(cell.get('source'))
    if cell['cell_type'] == 'markdown':
        return source
    known = flags_of(cell)
    hidden = known.keys() & CELL_FLAGS or known.get('include') == 'false'
    if cell['cell_type'] != 'code' or hidden:
        return ''
    lines = [line for line in source.splitlines() if not line.startswith('#|')]
    code, parts = '\n'.join(lines).strip(), []
    if code and known.get('echo') != 'false':
        parts.append(fenced(code, '{.python}'))
        if 'code-fold' in known:
            opened = ' open' if known['code-fold'] == 'show' else ''
            summary = html.escape(known.get('code-summary', 'Code'))
            head = f'<details{opened}><summary>{summary}</summary>'
            parts = [raw_html(head), *parts, raw_html('</details>')]
    if known.get('output') != 'false':
        for i, out in enumerate(cell.get('outputs') or [], 1):
            parts.append(output_markdown(out, known, folder, f'{name}-{i}'))
    return '\n\n'.join(parts)


def notebook_markdown(nb, folder):
    "The whole notebook. Its pictures are written into `folder`."
    cells = enumerate(nb['cells'], 1)
    texts = [cell_markdown(cell, folder, f'cell-{i}') for i, cell in cells]
    return '\n\n'.join(text for text in texts if text.strip()) + '\n'


def pandoc(markdown, *options):
    "What pandoc makes of Markdown; exits with its message when it complains."
    import pypandoc

    command = [pypandoc.get_pandoc_path(), '--from', 'markdown', *map(str, options)]
    run = subprocess.run(
        command, input=markdown, capture_output=True, text=True, encoding='utf-8'
    )
    if run.returncode or 'WARNING' in run.stderr:
        sys.exit(run.stderr)
    return run.stdout
