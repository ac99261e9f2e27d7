"""The docs site without Quarto, and README.md: nbdev prepares each notebook, pandoc (Quarto's own engine) makes the page.

python tools/docs.py                the site, in _docs, checked: links, images, alternative texts, headings, no error in an output
python tools/docs.py --readme       README.md and the figures it shows, from nbs/index.ipynb
--out FOLDER                        write there instead
"""

import argparse
import base64
import html
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from book import NBS, ROOT, directives, notebooks

TOOLS = ROOT / 'tools'
CELL_FLAGS = {'hide', 'default_exp'}  # cells that no reader sees
CITATIONS = (
    '--citeproc',
    '--bibliography',
    NBS / 'references.bib',
    '--metadata',
    'link-citations=true',
    '--metadata',
    'reference-section-title=References',
)

# -- a notebook as Markdown
# -------------------------------------------------------------------------------------------


def text_of(value):
    return value if isinstance(value, str) else ''.join(value or [])


def fenced(text, language=''):
    ticks = '`' * max(
        3, 1 + max((len(run) for run in re.findall(r'`+', text)), default=0)
    )
    return f'{ticks}{language}\n{text.rstrip()}\n{ticks}'


def raw_html(text):
    return fenced(text, '{=html}')


def figure(out, known, folder, name):
    "Write one picture into `folder` and give the HTML that shows it."
    kind = 'image/png' if 'image/png' in out['data'] else 'image/svg+xml'
    data = text_of(out['data'][kind])
    path = folder / (name + ('.png' if kind == 'image/png' else '.svg'))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(data) if kind == 'image/png' else data.encode())
    width = (out.get('metadata') or {}).get(kind, {}).get('width')
    size = f' width="{width}"' if width else ''
    caption = (
        f'<figcaption>{html.escape(known["fig-cap"])}</figcaption>'
        if known.get('fig-cap')
        else ''
    )
    return raw_html(
        f'<figure><img src="{folder.name}/{path.name}" '
        f'alt="{html.escape(known.get("fig-alt", ""))}"{size}>{caption}</figure>'
    )


def output_markdown(out, known, folder, name):
    "One stored output; of several forms of it the richest that a page can show."
    if out['output_type'] == 'error':
        return fenced('Traceback: ' + out['ename'], '{.output .stderr}')
    if out['output_type'] == 'stream':
        return (
            ''
            if out['name'] == 'stderr' and known.get('warning') == 'false'
            else fenced(text_of(out['text']), '{.output .%s}' % out['name'])
        )
    data = out['data']
    if 'text/html' in data:
        return raw_html(f'<div class="output">{text_of(data["text/html"])}</div>')
    if data.keys() & {'image/png', 'image/svg+xml'}:
        return figure(out, known, folder, name)
    if 'text/markdown' in data:
        return text_of(data['text/markdown'])
    return fenced(text_of(data.get('text/plain')), '{.output}')


def cell_markdown(cell, folder, name):
    source = text_of(cell.get('source'))
    if cell['cell_type'] == 'markdown':
        return source
    known = directives(source) | {
        k.rstrip(':'): ' '.join(v).strip('"\'')
        for k, v in (getattr(cell, 'directives_', None) or {}).items()
    }
    if (
        cell['cell_type'] != 'code'
        or known.get('include') == 'false'
        or known.keys() & CELL_FLAGS
    ):
        return ''
    code = '\n'.join(
        line for line in source.splitlines() if not line.startswith('#|')
    ).strip()
    parts = []
    if code and known.get('echo') != 'false':
        parts.append(fenced(code, '{.python}'))
        if 'code-fold' in known:
            opened = ' open' if known['code-fold'] == 'show' else ''
            parts = [
                raw_html(
                    f'<details{opened}><summary>{html.escape(known.get("code-summary", "Code"))}</summary>'
                ),
                *parts,
                raw_html('</details>'),
            ]
    if known.get('output') != 'false':
        parts += [
            output_markdown(out, known, folder, f'{name}-{i}')
            for i, out in enumerate(cell.get('outputs') or [], 1)
        ]
    return '\n\n'.join(parts)


def notebook_markdown(nb, folder):
    "The whole notebook. Its pictures are written into `folder`."
    cells = [
        cell_markdown(cell, folder, f'cell-{i}')
        for i, cell in enumerate(nb['cells'], 1)
    ]
    return '\n\n'.join(text for text in cells if text.strip()) + '\n'


def pandoc(markdown, *options):
    import pypandoc

    run = subprocess.run(
        [pypandoc.get_pandoc_path(), '--from', 'markdown', *map(str, options)],
        input=markdown,
        capture_output=True,
        text=True,
        encoding='utf-8',
    )
    if run.returncode or 'WARNING' in run.stderr:
        sys.exit(run.stderr)
    return run.stdout


# -- README.md
# --------------------------------------------------------------------------------------------------------


def write_readme(out):
    "README.md from the index notebook; links point to the notebooks in the repository."
    from execnb.nbio import read_nb

    shutil.rmtree(out / 'index_files', ignore_errors=True)
    text = notebook_markdown(read_nb(NBS / 'index.ipynb'), out / 'index_files')
    text = re.sub(r'\]\((?!\w+:|#|\.\./)([^)]+\.ipynb[^)]*)\)', r'](nbs/\1)', text)
    text = re.sub(r'\]\(\.\./', '](', text)
    made = '<!-- Made from nbs/index.ipynb by `make readme`. Do not edit. -->\n\n'
    (out / 'README.md').write_text(
        made
        + pandoc(
            text,
            '--to',
            'gfm',
            '--wrap',
            'preserve',
            '--lua-filter',
            TOOLS / 'docs.lua',
        ),
        encoding='utf-8',
    )


# -- the site
# ---------------------------------------------------------------------------------------------------------


def title_of(path):
    first = text_of(json.loads(path.read_text(encoding='utf-8'))['cells'][0]['source'])
    return re.match(r'#\s+(.+)', first)[1].strip()


def page_name(path):
    "phenotype.ipynb → phenotype.html, as nbdev and Quarto name it."
    return (
        path.relative_to(NBS)
        .with_name(re.sub(r'^\d+[a-z]?_', '', path.stem) + '.html')
        .as_posix()
    )


def contents():
    "The table of contents, from _quarto.yml's sidebar: [(part or '', [notebooks])]."
    import yaml

    listed = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))[
        'website'
    ]['sidebar']['contents']
    return [
        ('', [NBS / entry])
        if isinstance(entry, str)
        else (entry['section'], [NBS / name for name in entry['contents']])
        for entry in listed
    ]


def left_out():
    """What the table of contents says twice, not at all, or of a notebook that is not
    there.
    """
    listed, there = [p for _, part in contents() for p in part], notebooks()
    return [
        f'_quarto.yml: {p.relative_to(NBS)} stands {listed.count(p)} times in the '
        f'sidebar, {there.count(p)} times in nbs/'
        for p in dict.fromkeys([*listed, *there])
        if listed.count(p) != there.count(p)
    ]


def book_html(path, up):
    "The table of contents, the current page marked."
    item = lambda p: (
        f'<li{" class=here aria-current=page" if p == path else ""}><a '
        f'href="{up}{page_name(p)}">{html.escape(title_of(p))}</a></li>'
    )
    return '\n'.join(
        (f'<h2>{html.escape(part)}</h2>' if part else '')
        + '<ol>'
        + '\n'.join(map(item, paths))
        + '</ol>'
        for part, paths in contents()
    )


def write_page(path, out):
    """One notebook → one page.

    Runs its imports and exported cells, for the signatures; all other outputs are the
    stored ones.
    """
    from execnb.nbio import read_nb
    from nbdev.config import get_config
    from nbdev.processors import FilterDefaults

    os.environ['IN_TEST'] = '1'
    os.chdir(path.parent)
    nb, cfg, order = (
        read_nb(path),
        get_config(),
        [p for _, part in contents() for p in part],
    )
    FilterDefaults()(nb)
    page = page_name(path)
    up = '../' * page.count('/')
    links = {p.name: page_name(p) for p in order}
    text = notebook_markdown(nb, out / page.replace('.html', '_files'))
    # links to our own pages stay within the site
    text = text.replace(f'{cfg.doc_host}{cfg.doc_baseurl}/', up)
    # nbdev links private names, which have no place to go to
    text = re.sub(r'\[(`[^`]+`)\]\([\w./]+\.html#_\w*\)', r'\1', text)
    text = re.sub(
        r'\]\((?!\w+:)([^)#\s]*\.ipynb)',
        lambda m: '](' + up + links.get(Path(m[1]).name, m[1]),
        text,
    )
    # files at the root of the repository
    text = re.sub(
        r'\]\((?:\.\./)+(?=[A-Z])', f']({cfg.git_url}/blob/{cfg.branch}/', text
    )
    i = order.index(path)
    neighbours = [
        f'<a href="{up}{page_name(p)}">{arrow}</a>'
        for p, arrow in [
            (order[i - 1] if i else None, '← previous'),
            (order[i + 1] if i + 1 < len(order) else None, 'next →'),
        ]
        if p
    ]
    options = dict(
        pagetitle=nb.frontmatter_['title'],
        book=book_html(path, up),
        up=up,
        subtitle=html.escape(nb.frontmatter_.get('description', '')),
        heading=html.escape(nb.frontmatter_['title']),
        neighbours=' '.join(neighbours),
        source=f'{cfg.git_url}/blob/{cfg.branch}/nbs/{path.relative_to(NBS).as_posix()}',
    )
    variables = [
        word
        for key, value in options.items()
        for word in ('--variable', f'{key}={value}')
    ]
    (out / page).parent.mkdir(parents=True, exist_ok=True)
    made = pandoc(
        text,
        '--to',
        'html5',
        '--standalone',
        '--mathml',
        '--toc',
        '--toc-depth',
        3,
        '--template',
        TOOLS / 'page.html',
        '--lua-filter',
        TOOLS / 'docs.lua',
        *CITATIONS,
        *variables,
    )
    # an empty corner is no heading; a wide table scrolls
    made = re.sub(r'<th([^>]*)></th>', r'<td\1></td>', made).replace(
        '<table', '<table tabindex="0"'
    )
    (out / page).write_text(made, encoding='utf-8')


def write_site(out):
    "All pages, side by side. Gives what went wrong."
    for p in notebooks():
        shutil.rmtree(out / page_name(p).replace('.html', '_files'), ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOOLS / 'page.css', out / 'page.css')
    import docs  # by its own name: nbdev's shell takes the name __main__ over

    with ProcessPoolExecutor(
        min(4, os.cpu_count() or 1), multiprocessing.get_context('spawn')
    ) as pool:
        return [
            problem
            for problem in pool.map(
                docs.try_page, notebooks(), [out] * len(notebooks())
            )
            if problem
        ]


def try_page(path, out):
    "Write a page; gives the reason when that fails."
    warnings.filterwarnings('ignore', message='Found cells containing imports')
    try:
        write_page(path, out)
    except Exception as e:
        cell = '\n'.join(str(e).splitlines()[:2])
        return (
            f'{path.stem}: {cell} ...\n  {e.__cause__!r}: for the docs nbdev runs '
            'exported cells and every cell with an import; put imports into a cell '
            'of their own.'
        )


# -- its checks
# -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    "What a page refers to and what it can be referred by."

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.images, self.headings = set(), [], [], []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if 'id' in attrs:
            self.ids.add(attrs['id'])
        if tag == 'a' and attrs.get('href'):
            self.links.append(attrs['href'])
        if tag == 'img':
            self.images.append((attrs.get('src', ''), attrs.get('alt')))
        if re.fullmatch('h[1-6]', tag):
            self.headings.append((int(tag[1]), attrs.get('id')))


def problems(out):
    """Broken links, missing images, figures without alternative text, levels of
    headings left out, errors among the outputs.
    """
    pages = {p: Page(p) for p in sorted(out.rglob('*.html'))}
    for path, page in pages.items():
        name = path.relative_to(out)
        if 'Traceback: ' in path.read_text(encoding='utf-8'):
            yield f'{name}: an output is an error'
        for src, alt in page.images:
            if (
                not src.startswith('data:')
                and not (path.parent / unquote(src)).exists()
            ):
                yield f'{name}: no image {src}'
            if not alt:
                yield (
                    f'{name}: no alternative text for {src[:60]}; put `#| fig-alt: '
                    '"..."` on top of the cell'
                )
        for (above, _), (level, place) in zip(page.headings, page.headings[1:]):
            if place and level > above + 1:
                yield (
                    f'{name}: #{place} is a heading of level {level} below one of '
                    f'level {above}; a screen reader looks for the one between'
                )
        for href in page.links:
            url = urlsplit(href)
            if url.scheme or url.netloc:
                continue
            target = (
                (path.parent / unquote(url.path)).resolve()
                if url.path
                else path.resolve()
            )
            if not target.exists():
                yield f'{name}: broken link {href}'
            elif (
                url.fragment
                and target.suffix == '.html'
                and unquote(url.fragment) not in pages[target].ids
            ):
                yield f'{name}: no place named {href}'


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--readme', action='store_true')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    if args.readme:
        return write_readme((args.out or ROOT).resolve())
    out = (args.out or ROOT / '_docs').resolve()
    found = left_out() or write_site(out) or list(problems(out))
    if found:
        sys.exit('\n'.join(found))
    print(
        f'{len(notebooks())} pages, all links and images present. Open '
        f'{out.name}/index.html.'
    )


if __name__ == '__main__':
    main()
