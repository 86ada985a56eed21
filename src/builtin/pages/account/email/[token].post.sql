-- @hash = token_hash(:token)
-- redirect: /account
-- flash: Your e-mail address is changed.
-- error users.email Somebody else has this address by now.

-- name: _before :one
select email from users where id = @user_id;

-- name: _link :maybe
delete from _links where token_hash = @hash and purpose = 'email' and user_id = @user_id and expires_at > @now
returning email;

-- name: valid :require 422 This link was used already, or is too old.
select 1 where cast(@_link.email as text) is not null;

-- name: _changed :exec
update users set email = @_link.email where id = @user_id;

-- Who reads the mail of the address before must not get in by a link that waits there.
-- name: _links :exec
delete from _links where user_id = @user_id;

-- name: _confirmed :exec
update _accounts set confirmed_at = @now where user_id = @user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, email, address)
values (@now, 'email_changed', @user_id, @_before.email, @client_ip);

-- name: _mail :exec
insert into outbox (channel, recipient, template, data)
values ('email', @_before.email, 'email_changed',
  cast(json_build_object('email', @_link.email, 'at', @now, 'address', @client_ip) as text));
