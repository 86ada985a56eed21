-- The second factor: a code of the authenticator app, or a recovery code.
-- :code  text  required maxlength=30 autocomplete=one-time-code label="Code"
-- :next  text  maxlength=2000
-- @ok = code_ok(:code)
-- redirect: {{ params.next|local("/account") }}
-- login: _user.id

-- name: right :require 422 on=code This code is not right, or was used already.
select 1 where @ok;

-- name: _user :one
select waiting_user_id as id from _sessions
where session_id = @session_id and waiting_user_id is not null and waiting_until > @now;
