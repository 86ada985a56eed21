-- :password  password  required maxlength=1024 autocomplete=current-password label="Your password"
-- @ok = password_ok(:password)
-- page: /account/totp
-- redirect: /account/totp
-- flash: The second factor is off.

-- name: right :require 422 on=password This is not your password.
select 1 where @ok;

-- name: _off :exec
update _accounts set totp_at = null, totp_secret = null, totp_step = null where user_id = @user_id;

-- name: _codes :exec
delete from _recovery_codes where user_id = @user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'second_factor_off', @user_id, @client_ip);
