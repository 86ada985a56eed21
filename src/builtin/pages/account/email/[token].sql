-- @hash = token_hash(:token)

-- name: link :maybe
select email from _links
where token_hash = @hash and purpose = 'email' and user_id = @user_id and expires_at > @now;
