-- An invitation shows that the address is theirs, and may bring roles.
-- :name      text      maxlength=100 autocomplete=name label="Your name"
-- :password  password  required maxlength=1024 autocomplete=new-password label="Password"
-- @hash = token_hash(:token)
-- @password = password_hash(:password)
-- redirect: /account
-- flash: Welcome!
-- register: _user.id
-- login: _user.id

-- name: _link :maybe
delete from _links where token_hash = @hash and purpose = 'invite' and expires_at > @now returning email, data;

-- name: _user :maybe
insert into users (email, name) select l.email, :name from (select cast(@_link.email as text) as email) l
where l.email is not null on conflict (email) do nothing returning id;

-- name: valid :require 422 This invitation was used already, or is too old.
select 1 where cast(@_user.id as bigint) is not null;

-- name: _account :exec
insert into _accounts (user_id, password_hash, password_at, confirmed_at) values (@_user.id, @password, @now, @now);

-- name: _roles :exec
insert into _roles (user_id, role)
select cast(@_user.id as bigint), r.role from _invited_roles r where r.token_hash = @hash;
