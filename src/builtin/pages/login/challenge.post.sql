-- What a passkey is asked to sign; for the script of the login page.
-- @challenge = new_token()
-- @until = now + 5 minutes
-- page: /login

-- name: kept :exec
update _sessions set challenge = @challenge, challenge_until = @until where session_id = @session_id;

-- name: challenge :value
select @challenge;
