-- What a new passkey is made for; for the script of the passkeys page.
-- @challenge = new_token()
-- @until = now + 5 minutes
-- @handle = token_hash(@user_id)
-- page: /account/passkeys

-- name: kept :exec
update _sessions set challenge = @challenge, challenge_until = @until where session_id = @session_id;

-- name: challenge :value
select @challenge;

-- name: user :one
select @handle as handle, email, name from users where id = @user_id;

-- name: known :list
select credential_id from _passkeys where user_id = @user_id;
