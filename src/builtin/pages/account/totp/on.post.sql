-- :code  text  required maxlength=30 autocomplete=one-time-code label="Code of the app"
-- @ok = code_ok(:code)
-- @codes = recovery_codes()
-- @list = split(@codes, ' ')
-- @hashes = recovery_hash(@list)
-- page: /account/totp
-- redirect: none

-- name: right :require 422 on=code This code is not right.
select 1 where @ok;

-- name: _on :exec
update _accounts set totp_at = @now where user_id = @user_id and totp_at is null;

-- name: _old :exec
delete from _recovery_codes where user_id = @user_id;

-- name: _kept :exec each=@hashes
insert into _recovery_codes (user_id, code_hash) values (@user_id, @hashes);

-- name: codes :value
select cast(@codes as text);

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'second_factor_on', @user_id, @client_ip);
