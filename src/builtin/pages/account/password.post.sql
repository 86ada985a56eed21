-- :password      password  required maxlength=1024 autocomplete=current-password label="Your password now"
-- :new_password  password  required maxlength=1024 autocomplete=new-password label="New password"
-- @ok = password_ok(:password)
-- @password = password_hash(:new_password)
-- redirect: /account
-- flash: Your password is changed. Other devices are logged out.

-- name: right :require 422 on=password This is not your password.
select 1 where @ok;

-- name: _changed :exec
update _accounts set password_hash = @password, password_at = @now where user_id = @user_id;

-- name: _links :exec
delete from _links where user_id = @user_id and purpose in ('reset', 'email');

-- name: _sessions :exec
delete from _sessions where user_id = @user_id and session_id <> @session_id or waiting_user_id = @user_id;

-- name: _renewed :exec
update _sessions set renew = 1 where session_id = @session_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'password_changed', @user_id, @client_ip);

-- name: _mail :exec
insert into outbox (channel, recipient, template, data)
select 'email', email, 'password_changed',
  cast(json_build_object('email', email, 'at', cast(@now as text), 'address', cast(@client_ip as text)) as text)
from users where id = @user_id;
