-- The answer tells nobody who is registered; the mail does.
-- :email  email  required maxlength=254 autocomplete=username label="E-mail address"
-- limit: 20 per 1h by=@client_ip
-- limit: 4 per 1h by=:email
-- @token = new_token()
-- @token_hash = token_hash(@token)
-- @until = now + 1 hours
-- redirect: /forgot/sent

-- name: _user :maybe
select id, name from users where email = lower(:email);

-- name: _link :exec when=_user
insert into _links (token_hash, purpose, user_id, email, expires_at)
values (@token_hash, 'reset', @_user.id, lower(:email), @until);

-- name: _mail :exec when=_user
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'reset',
  cast(json_build_object('email', lower(:email), 'name', @_user.name, 'link', @site_url || '/reset/' || @token) as text));

-- name: _other :exec unless=_user
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'reset_unknown', cast(json_build_object('email', lower(:email)) as text));
