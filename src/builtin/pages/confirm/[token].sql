-- A link of a mail. Only its button confirms: programs that look into mails open links, too.
-- @hash = token_hash(:token)

-- name: link :maybe
select email from _links where token_hash = @hash and purpose = 'confirm' and expires_at > @now;
