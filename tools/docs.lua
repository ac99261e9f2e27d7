-- What plain pandoc lacks. Quarto's callouts: `::: {.callout-note collapse="true"}` becomes <details>, others a box.
-- The first heading inside is the title, and stays out of the table of contents.
local function escape(text) return (text:gsub('&', '&amp;'):gsub('<', '&lt;'):gsub('>', '&gt;')) end

function Div(div)
  local kind = nil
  for _, class in ipairs(div.classes) do kind = kind or class:match('^callout%-(%a+)$') end
  if not kind then return nil end
  local title = kind:gsub('^%l', string.upper)
  local body = div.content
  if #body > 0 and body[1].t == 'Header' then
    title = pandoc.utils.stringify(body[1].content)
    body:remove(1)
  end
  local folded = div.attributes['collapse'] ~= nil
  local outer = folded and 'details' or 'div'
  local head = folded and 'summary' or 'p'
  local open = (folded and div.attributes['collapse'] == 'false') and ' open' or ''
  if FORMAT:match('html') then
    body:insert(1, pandoc.RawBlock('html', '<' .. outer .. open .. ' class="callout ' .. kind .. '"><' .. head .. ' class="callout-title">' .. escape(title) .. '</' .. head .. '>'))
  else
    body:insert(1, pandoc.RawBlock('html', '<' .. outer .. open .. '>\n<' .. head .. '>' .. escape(title) .. '</' .. head .. '>\n'))
  end
  body:insert(pandoc.RawBlock('html', '</' .. outer .. '>'))
  return body
end

-- A pipe table with one long row would get columns of equal width, whatever is in them. The browser knows better.
function Table(table)
  for i, spec in ipairs(table.colspecs) do table.colspecs[i] = { spec[1], nil } end
  return table
end

-- A long line scrolls; whoever has no mouse needs to reach it to scroll.
function CodeBlock(block)
  if FORMAT:match('html') then block.attributes.tabindex = '0' end
  return block
end
