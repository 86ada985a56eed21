-- The same answer, and the same work, for accounts that are there and those that aren't.
-- :email     email     required maxlength=254 autocomplete=username label="E-mail address"
-- :password  password  required maxlength=1024 autocomplete=current-password label="Password"
-- :remember  bool      label="Stay logged in on this device"
-- :next      text      maxlength=2000
-- @ok = password_ok(:email, :password)
-- redirect: {{ params.next|local("/account") }}
-- login: _user.id remember=:remember

-- name: right :require 422 The e-mail address or the password is wrong.
select 1 where @ok;

-- name: _user :one
select id from users where email = lower(:email);
