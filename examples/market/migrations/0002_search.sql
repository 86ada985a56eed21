-- The words of the stickers, kept in step by triggers, so that the catalogue's rows find their way in as they arrive.
create virtual table sticker_words using fts5 (
    name, tags,
    content = 'stickers', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

create trigger stickers_words_added after insert on stickers begin
    insert into sticker_words (rowid, name, tags) values (new.id, new.name, new.tags);
end;

create trigger stickers_words_removed after delete on stickers begin
    insert into sticker_words (sticker_words, rowid, name, tags) values ('delete', old.id, old.name, old.tags);
end;

-- Only for these columns: a sale changes the stock, and no word.
create trigger stickers_words_changed after update of name, tags on stickers begin
    insert into sticker_words (sticker_words, rowid, name, tags) values ('delete', old.id, old.name, old.tags);
    insert into sticker_words (rowid, name, tags) values (new.id, new.name, new.tags);
end;
