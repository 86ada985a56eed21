-- Begins: a secret for the authenticator app. Nothing is asked for until a code of it was right.
-- :password  password  maxlength=1024 autocomplete=current-password label="Your password"
-- @ok = password_ok(:password)
-- @secret = totp_secret()
-- redirect: /account/totp

-- name: right :require 422 on=password This is not your password.
select 1 where @ok or not exists (select 1 from _accounts where user_id = @user_id and password_hash is not null);

-- name: _begun :exec
update _accounts set totp_secret = @secret, totp_step = null where user_id = @user_id and totp_at is null;

-- name: possible :require 409 It is on already, or you have no password yet.
select 1 where @_begun.count > 0;
