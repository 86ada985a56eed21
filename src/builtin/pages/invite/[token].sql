-- @hash = token_hash(:token)

-- name: link :maybe
select email from _links where token_hash = @hash and purpose = 'invite' and expires_at > @now;
