-- What a search finds, on PostgreSQL. Each word that was typed becomes a quoted prefix, so that nothing a visitor types is
-- taken for the search language: `cat "fa` looks for 'cat':* & 'fa':*. Without words everything is found. A name that is
-- what was typed comes first, then names that have it as words of their own.

-- :q  text  maxlength=100

-- name: wanted_words :with
select to_tsquery('simple', string_agg('''' || replace(word, '''', '''''') || ''':*', ' & ')) as words
from unnest(tsvector_to_array(to_tsvector('simple', :q))) as typed (word);

-- name: matches :with
select s.id, s.slug, s.name, s.hexcode, s.group_slug, s.designer_slug, s.price, s.stock, s.drawn_on,
       case when lower(s.name) = lower(:q) then -200
            when ' ' || lower(s.name) || ' ' like '% ' || lower(:q) || ' %' then -100
            else 0 end - 10 * ts_rank(s.words, w.words) as place
from stickers s join wanted_words w on s.words @@ w.words
union all
select id, slug, name, hexcode, group_slug, designer_slug, price, stock, drawn_on, id
from stickers where :q is null;
