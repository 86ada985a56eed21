-- Whoever has the mail has the address; and whoever had the old password is logged out everywhere.
-- :new_password  password  required maxlength=1024 autocomplete=new-password label="New password"
-- @hash = token_hash(:token)
-- @password = password_hash(:new_password)
-- redirect: /login
-- flash: Your password is changed. Please log in with it.

-- name: _link :maybe
delete from _links where token_hash = @hash and purpose = 'reset' and expires_at > @now returning user_id, email;

-- name: _changed :exec
insert into _accounts (user_id, password_hash, password_at, confirmed_at)
select id, @password, @now, @now from users where id = @_link.user_id and email = @_link.email
on conflict (user_id) do update set password_hash = excluded.password_hash, password_at = excluded.password_at,
  confirmed_at = coalesce(_accounts.confirmed_at, excluded.confirmed_at);

-- name: valid :require 422 This link was used already, or is too old. Please ask for a new one.
select 1 where @_changed.count > 0;

-- name: _links :exec
delete from _links where user_id = @_link.user_id and purpose in ('reset', 'email');

-- name: _sessions :exec
delete from _sessions where user_id = @_link.user_id or waiting_user_id = @_link.user_id;

-- name: _tokens :exec
delete from _api_tokens where user_id = @_link.user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'password_reset', @_link.user_id, @client_ip);

-- name: _mail :exec
insert into outbox (channel, recipient, template, data)
values ('email', @_link.email, 'password_changed',
  cast(json_build_object('email', @_link.email, 'at', @now, 'address', @client_ip) as text));
