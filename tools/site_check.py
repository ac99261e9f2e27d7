"""Is the site whole? Links, images, alternative texts, headings, errors in outputs."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    "What a page refers to and what it can be referred by."

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.images, self.headings = set(), [], [], []
        self.text = path.read_text(encoding='utf-8')
        self.feed(self.text)

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


def image_problems(path, page):
    "Pictures that are not there, or that say nothing to who cannot see them."
    for src, alt in page.images:
        if not src.startswith('data:') and not (path.parent / unquote(src)).exists():
            yield f'no image {src}'
        if not alt:
            yield f'no alternative text for {src[:60]}: `#| fig-alt: "..."` is missing'


def heading_problems(page):
    "Levels of headings left out: a screen reader looks for the one between."
    for (above, _), (level, place) in zip(page.headings, page.headings[1:]):
        if place and level > above + 1:
            yield f'#{place} is a heading of level {level} below one of level {above}'


def link_problems(path, page, pages):
    "Links to a page or a place that does not exist."
    for href in page.links:
        url = urlsplit(href)
        if url.scheme or url.netloc:
            continue
        target = (path.parent / unquote(url.path)) if url.path else path
        target = target.resolve()
        if not target.exists():
            yield f'broken link {href}'
        elif url.fragment and target in pages:
            if unquote(url.fragment) not in pages[target].ids:
                yield f'no place named {href}'


def problems(out):
    "All that is wrong with the pages below a folder."
    pages = {p.resolve(): Page(p) for p in sorted(out.rglob('*.html'))}
    for path, page in pages.items():
        name = path.relative_to(out.resolve())
        if 'Traceback: ' in page.text:
            yield f'{name}: an output is an error'
        if re.search(r'</code>\s*\]\(', page.text):
            yield f'{name}: a link inside a link, shown as letters'
        for problem in image_problems(path, page):
            yield f'{name}: {problem}'
        for problem in heading_problems(page):
            yield f'{name}: {problem}'
        for problem in link_problems(path, page, pages):
            yield f'{name}: {problem}'
