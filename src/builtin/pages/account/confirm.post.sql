-- Sends the link of the confirmation once more.
-- limit: 4 per 1h by=@user_id
-- page: /account
-- redirect: /account
-- flash: We have sent you a new link.
-- @token = new_token()
-- @token_hash = token_hash(@token)
-- @until = now + 3 days

-- name: _user :one
select u.id, u.email, u.name from users u join _accounts a on a.user_id = u.id
where u.id = @user_id and a.confirmed_at is null;

-- name: _link :exec
insert into _links (token_hash, purpose, user_id, email, expires_at)
values (@token_hash, 'confirm', @user_id, @_user.email, @until);

-- name: _mail :exec
insert into outbox (channel, recipient, template, data)
values ('email', @_user.email, 'confirm',
  cast(json_build_object('email', @_user.email, 'name', @_user.name, 'link', @site_url || '/confirm/' || @token) as text));
