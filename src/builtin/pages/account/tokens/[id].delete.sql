-- :id  int
-- page: /account/tokens
-- redirect: /account/tokens
-- flash: The token is revoked.

-- name: _revoked :exec
delete from _api_tokens where id = :id and user_id = @user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'token_revoked', @user_id, @client_ip);
