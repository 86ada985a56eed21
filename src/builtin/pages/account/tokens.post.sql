-- The token is shown once; only its hash is kept. A key that outlasts the session takes more than the session.
-- :name    text  required maxlength=100 label="What it is for"
-- :access  text  required in=read,write default=read label="What it may do"
-- :paths   text  maxlength=200 pattern="/[^?#\s]*" default=/** label="Paths that it is good for"
-- :days    int   required min=1 max=366 default=90 label="Days until it ends"
-- :password  password  maxlength=1024 autocomplete=current-password label="Your password"
-- @ok = password_ok(:password)
-- @token = new_token()
-- @hash = token_hash(@token)
-- redirect: none
-- limit: 50 per 1d by=@user_id

-- name: right :require 422 on=password This is not your password.
select 1 where @ok or not exists (select 1 from _accounts where user_id = @user_id and password_hash is not null);

-- name: _saved :exec
insert into _api_tokens (user_id, name, token_hash, access, paths, created_at, expires_at)
values (@user_id, :name, @hash, :access, :paths, @now, to_char(shift(@now, :days, 'days'), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));

-- name: token :value
select @token;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address, detail) values (@now, 'token_made', @user_id, @client_ip, :name);
