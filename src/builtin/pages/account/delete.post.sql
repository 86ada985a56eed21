-- What belongs to the user goes with them as the site's own foreign keys say.
-- :password  password  required maxlength=1024 autocomplete=current-password label="Your password"
-- @ok = password_ok(:password)
-- redirect: /
-- flash: Your account is deleted.
-- logout

-- name: right :require 422 on=password This is not your password.
select 1 where @ok;

-- name: _sessions :exec
delete from _sessions where user_id = @user_id and session_id <> @session_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'account_deleted', @user_id, @client_ip);

-- name: _deleted :exec
delete from users where id = @user_id;
