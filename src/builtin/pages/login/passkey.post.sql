-- :credential  json  required
-- :next        text  maxlength=2000
-- @user = passkey_ok(:credential)
-- page: /login
-- redirect: {{ params.next|local("/account") }}
-- login: _user.id

-- name: right :require 422 This passkey is not known here.
select 1 where @user is not null;

-- name: _user :one
select id from users where id = @user;
