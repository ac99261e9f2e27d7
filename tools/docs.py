"""The docs site and README.md, without Quarto. `make docs` is what is published.

python tools/docs.py               the site, in _docs, checked by site_check.py
python tools/docs.py --readme      README.md and its figures, from nbs/index.ipynb
--out FOLDER                       write there instead

nbdev prepares each notebook (signatures, links to names), pandoc makes the page.
"""

import argparse
import html
import json
import multiprocessing
import os
import re
import shutil
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import site_check
from book import NBS, ROOT, contents, notebooks
from pages import CITATIONS, REFERENCES, notebook_markdown, pandoc, text_of

TOOLS = ROOT / 'tools'
MADE = '<!-- Made from nbs/index.ipynb by `make readme`. Do not edit. -->\n\n'


def write_readme(out):
    "README.md from the front page; links point to the notebooks in the repository."
    from execnb.nbio import read_nb

    shutil.rmtree(out / 'index_files', ignore_errors=True)
    text = notebook_markdown(read_nb(NBS / 'index.ipynb'), out / 'index_files')
    text = re.sub(r'\]\((?!\w+:|#|\.\./)([^)]+\.ipynb[^)]*)\)', r'](nbs/\1)', text)
    text = re.sub(r'\]\(\.\./', '](', text)
    lua = ('--lua-filter', TOOLS / 'docs.lua')
    made = pandoc(text, '--to', 'gfm', '--wrap', 'preserve', *lua)
    (out / 'README.md').write_text(MADE + made, encoding='utf-8')


def title_of(path):
    "The first heading of a notebook."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return re.match(r'#\s+(.+)', text_of(cells[0]['source']))[1].strip()


def number_of(path):
    "'04' of core/04_scan.ipynb; '' where a notebook has no number."
    return (re.match(r'(\d+)_', path.stem) or ['', ''])[1]


def page_name(path):
    "core/04_scan.ipynb → core/scan.html, as nbdev and Quarto name it."
    stem = re.sub(r'^\d+[a-z]?_', '', path.stem)
    return path.relative_to(NBS).with_name(stem + '.html').as_posix()


def left_out():
    "Notebooks that the contents name twice or never, or that are not there."
    listed, there = [p for _, part in contents() for p in part], notebooks()
    for path in dict.fromkeys([*listed, *there]):
        if listed.count(path) != there.count(path):
            name, times = path.relative_to(NBS), listed.count(path)
            real = there.count(path)
            yield f'_quarto.yml has {name} {times} times, nbs/ {real} times'


def book_html(path, up):
    "The table of contents; the book and the current page's section stand open."
    lines = []
    for i, (part, paths) in enumerate(contents()):
        if part:
            opened = ' open' if i == 1 or path in paths else ''
            head = f'<h2>{html.escape(part)}</h2>'
            lines.append(f'<details{opened}><summary>{head}</summary>')
        lines.append('<ol>')
        for other in paths:
            here = ' class=here aria-current=page' if other == path else ''
            number = number_of(other)
            label = f'<span class=number>{number}</span> ' if number else ''
            link = f'<a href="{up}{page_name(other)}">{label}'
            lines.append(f'<li{here}>{link}{html.escape(title_of(other))}</a></li>')
        lines.append('</ol></details>' if part else '</ol>')
    return '\n'.join(lines)


def with_links(text, path, up, cfg):
    "Links as a page needs them: to other pages, and to files of the repository."
    own = f'{cfg.doc_host}{cfg.doc_baseurl}/'
    text = text.replace(own, up)  # links of nbdev to our own pages stay in the site
    name = r'\[(`[^`]+`)\]\([^)\s]*\)'
    # nbdev links private names, which have no place to go to, names inside a link of
    # our own, and names in the comments of a signature, where a link is only letters
    text = re.sub(r'\[(`[^`]+`)\]\([\w./]+\.html#_\w*\)', r'\1', text)
    text = re.sub(rf'\[{name}\](?=\()', r'[\1]', text)
    fence = re.compile(r'^(`{3,}) *\{?\.?python.*?^\1$', flags=re.MULTILINE | re.DOTALL)
    text = fence.sub(lambda block: re.sub(name, r'\1', block[0]), text)

    def page(match):
        target = (path.parent / match[1]).resolve()
        return f']({up}{page_name(target)}' if target.exists() else match[0]

    text = re.sub(r'\]\((?!\w+:)([^)#\s]*\.ipynb)', page, text)
    at_root = f']({cfg.git_url}/blob/{cfg.branch}/'
    return re.sub(r'\]\((?:\.\./)+(?=[A-Z])', at_root, text)


def neighbours(path, up):
    "Links to the page before and the page after, in the order of the book."
    order = [p for _, part in contents() for p in part]
    i, links = order.index(path), []
    if i:
        links.append(f'<a href="{up}{page_name(order[i - 1])}">← previous</a>')
    if i + 1 < len(order):
        links.append(f'<a href="{up}{page_name(order[i + 1])}">next →</a>')
    return ' '.join(links)


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
    nb, cfg, page = read_nb(path), get_config(), page_name(path)
    FilterDefaults()(nb)
    up, source = '../' * page.count('/'), path.relative_to(ROOT).as_posix()
    text = notebook_markdown(nb, out / page.replace('.html', '_files'))
    # the name of a documented function is a heading of level 3
    names = re.search(r'^(?:---\n+)?### ', text, flags=re.MULTILINE)
    if names and not re.search('^## ', text[: names.start()], flags=re.MULTILINE):
        text = f'{text[: names.start()]}## Definitions\n\n{text[names.start() :]}'
    values = dict(
        pagetitle=nb.frontmatter_['title'],
        heading=html.escape(nb.frontmatter_['title']),
        subtitle=html.escape(nb.frontmatter_.get('description', '')),
        number=number_of(path),
        book=book_html(path, up),
        up=up,
        neighbours=neighbours(path, up),
        source=f'{cfg.git_url}/blob/{cfg.branch}/{source}',
    )
    made = pandoc(
        with_links(text, path, up, cfg),
        *('--to', 'html5', '--standalone', '--mathml', '--toc', '--toc-depth', 3),
        *('--template', TOOLS / 'page.html', '--lua-filter', TOOLS / 'docs.lua'),
        *(*CITATIONS, REFERENCES),
        *(f'--variable={key}={value}' for key, value in values.items()),
    )
    # an empty corner is no heading; a wide table scrolls
    made = re.sub(r'<th([^>]*)></th>', r'<td\1></td>', made)
    made = made.replace('<table', '<table tabindex="0"')
    (out / page).parent.mkdir(parents=True, exist_ok=True)
    (out / page).write_text(made, encoding='utf-8')


def try_page(path, out):
    "Write a page; gives the reason when that fails."
    warnings.filterwarnings('ignore', message='Found cells containing imports')
    try:
        write_page(path, out)
    except Exception as e:
        cell = '\n'.join(str(e).splitlines()[:2])
        return (
            f'{path.stem}: {cell} ...\n  {e.__cause__!r}: for the docs nbdev runs '
            'exported cells and every cell with an import; imports need their own cell.'
        )


def write_site(out):
    "All pages, side by side. Gives what went wrong."
    import docs  # by its own name: nbdev's shell takes the name __main__ over

    paths = notebooks()
    for path in paths:
        files = out / page_name(path).replace('.html', '_files')
        shutil.rmtree(files, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOOLS / 'page.css', out / 'page.css')
    workers = min(4, os.cpu_count() or 1)
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, spawn) as pool:
        failed = list(filter(None, pool.map(docs.try_page, paths, [out] * len(paths))))
    unlink_names(out)
    return failed


def unlink_names(out):
    "nbdev links every name in code type; those that no page documents lose the link."
    pages = {p.resolve(): site_check.Page(p) for p in out.rglob('*.html')}

    def alive(match):
        target, _, place = match[1].partition('#')
        page = pages.get((path.parent / target).resolve() if target else path)
        return match[0] if page and place in page.ids else match[2]

    for path, page in pages.items():
        link = r'<a\s+href="([^":]*#[^"]*)"[^>]*>(<code>[^<]*</code>)</a>'
        path.write_text(re.sub(link, alive, page.text), encoding='utf-8')


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
    found = list(left_out()) or write_site(out) or list(site_check.problems(out))
    if found:
        sys.exit('\n'.join(found))
    print(f'{len(notebooks())} pages, links and images whole: {out.name}/index.html.')


if __name__ == '__main__':
    main()
