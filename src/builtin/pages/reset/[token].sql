-- @hash = token_hash(:token)

-- name: link :maybe
select email from _links where token_hash = @hash and purpose = 'reset' and expires_at > @now;
