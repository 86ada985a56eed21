-- The words of the stickers, kept in step by the database itself: those of the name weigh more than the tags.
alter table stickers add column words tsvector generated always as (
    setweight(to_tsvector('simple', name), 'A') || setweight(to_tsvector('simple', coalesce(tags, '')), 'B')
) stored;
create index stickers_by_word on stickers using gin (words);
