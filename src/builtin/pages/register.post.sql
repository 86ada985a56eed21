-- Whoever has an account already gets a mail that says so: the answer tells nobody who is registered.
-- :email     email     required maxlength=254 autocomplete=username label="E-mail address"
-- :name      text      maxlength=100 autocomplete=name label="Your name"
-- :password  password  required maxlength=1024 autocomplete=new-password label="Password"
-- limit: 20 per 1h by=@client_ip
-- limit: 4 per 1h by=:email
-- @password = password_hash(:password)
-- @token = new_token()
-- @token_hash = token_hash(@token)
-- @until = now + 3 days
-- redirect: /register/sent
-- register: _user.id password=@password

-- name: _known :maybe
select id, name from users where email = lower(:email);

-- name: _told :exec when=_known
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'already_registered',
  cast(json_build_object('email', lower(:email), 'name', @_known.name, 'link', @site_url || '/login') as text));

-- name: _user :maybe unless=_known
insert into users (email, name) values (lower(:email), :name) returning id;

-- name: _link :exec when=_user
insert into _links (token_hash, purpose, user_id, email, expires_at)
values (@token_hash, 'confirm', @_user.id, lower(:email), @until);

-- name: _mail :exec when=_user
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'confirm',
  cast(json_build_object('email', lower(:email), 'name', :name, 'link', @site_url || '/confirm/' || @token) as text));
