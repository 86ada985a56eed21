-- Begins: a secret for the authenticator app. Nothing is asked for until a code of it was right.
-- @secret = totp_secret()
-- redirect: /account/totp

-- name: _begun :exec
update _accounts set totp_secret = @secret, totp_step = null where user_id = @user_id and totp_at is null;

-- name: possible :require 409 It is on already, or you have no password yet.
select 1 where @_begun.count > 0;
