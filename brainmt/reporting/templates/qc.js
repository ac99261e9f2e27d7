(() => {
  const table = document.getElementById('runs');
  if (!table) return;
  const word = document.getElementById('word'), kind = document.getElementById('kind');
  const said = document.getElementById('said');
  const rows = [...table.tBodies[0].rows];
  const cards = [...document.querySelectorAll('article[data-kind]')];
  const fits = e => {
    const found = e.textContent.toLowerCase().includes(word.value.trim().toLowerCase());
    return found && (!kind.value || e.dataset.kind === kind.value);
  };
  const show = () => {
    for (const e of [...rows, ...cards]) e.hidden = !fits(e);
    const shown = rows.filter(r => !r.hidden).length;
    said.textContent = `${shown} of ${rows.length} rows`;
  };
  const value = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
  const sort = (head, i) => {
    const sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    for (const h of table.tHead.rows[0].cells) h.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
    rows.sort((a, b) => {
      const [x, y] = [value(a, i), value(b, i)];
      if (x === '' || y === '') return (x === '') - (y === '');
      const words = isNaN(x) || isNaN(y);
      return sign * (words ? x.localeCompare(y, undefined, {numeric: true}) : x - y);
    });
    table.tBodies[0].append(...rows);
  };
  [...table.tHead.rows[0].cells].forEach((head, i) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    button.addEventListener('click', () => sort(head, i));
    head.replaceChildren(button);
  });
  word.addEventListener('input', show);
  kind.addEventListener('change', show);
  document.getElementById('tools').hidden = false;
  show();
})();
