-- The address changes when the link in the mail to the new one is used.
-- :email     email     required maxlength=254 autocomplete=email label="New e-mail address"
-- :password  password  required maxlength=1024 autocomplete=current-password label="Your password"
-- limit: 4 per 1h by=@user_id
-- @ok = password_ok(:password)
-- @token = new_token()
-- @token_hash = token_hash(@token)
-- @until = now + 1 hours
-- redirect: /account
-- flash: We have sent a link to the new address. It changes when you use that.

-- name: right :require 422 on=password This is not your password.
select 1 where @ok;

-- name: _taken :maybe
select id from users where email = lower(:email);

-- name: _link :exec unless=_taken
insert into _links (token_hash, purpose, user_id, email, expires_at)
values (@token_hash, 'email', @user_id, lower(:email), @until);

-- name: _mail :exec unless=_taken
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'email_change',
  cast(json_build_object('email', lower(:email), 'link', @site_url || '/account/email/' || @token) as text));

-- name: _told :exec when=_taken
insert into outbox (channel, recipient, template, data)
values ('email', lower(:email), 'already_registered',
  cast(json_build_object('email', lower(:email), 'link', @site_url || '/login') as text));
