-- page: /account/passkeys
-- redirect: /account/passkeys
-- flash: The passkey is removed.

-- name: _removed :exec
delete from _passkeys where credential_id = :id and user_id = @user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'passkey_removed', @user_id, @client_ip);
