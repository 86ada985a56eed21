-- An invitation shows that the address is theirs, and may bring roles.
-- :name      text      maxlength=100 autocomplete=name label="Your name"
-- :password  password  required maxlength=1024 autocomplete=new-password label="Password"
-- @hash = token_hash(:token)
-- @password = password_hash(:password)
-- redirect: /account
-- flash: Welcome!
-- register: _user.id
-- login: _user.id

-- name: _user :maybe
insert into users (email, name)
select email, :name from _links where token_hash = @hash and purpose = 'invite' and expires_at > @now
on conflict (email) do nothing returning id;

-- name: valid :require 422 This invitation was used already, or is too old.
select 1 from users where id = @_user.id;

-- name: _account :exec
insert into _accounts (user_id, password_hash, password_at, confirmed_at) values (@_user.id, @password, @now, @now);

-- name: _roles :exec
insert into _roles (user_id, role) select u.id, r.role from _invited_roles r join users u on u.id = @_user.id
where r.token_hash = @hash;

-- name: _used :exec
delete from _links where token_hash = @hash;
