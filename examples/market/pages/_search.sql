-- What a search finds. Each word that was typed becomes a quoted prefix, so that nothing a visitor types is taken for
-- the search language: `cat "fa` looks for "cat"* and "fa"*. Without words everything is found. A name that is what was
-- typed comes first, then names that have it as words of their own.

-- :q  text  maxlength=100

-- name: matches :with
select s.id, s.slug, s.name, s.hexcode, s.group_slug, s.designer_slug, s.price, s.stock, s.drawn_on,
       case when lower(s.name) = lower(:q) then -200
            when ' ' || lower(s.name) || ' ' like '% ' || lower(:q) || ' %' then -100
            else 0 end + w.place as place
from (
    select rowid as id, bm25(sticker_words, 10.0, 1.0) as place
    from sticker_words
    where sticker_words match '"' || replace(replace(coalesce(:q, ''), '"', ' '), ' ', '"* "') || '"*'
) w
join stickers s on s.id = w.id
union all
select id, slug, name, hexcode, group_slug, designer_slug, price, stock, drawn_on, id
from stickers where :q is null;
