-- Who comes back from a provider of logins: somebody who is known, or is logged in and connects the login, or whose
-- e-mail address both sides know to be theirs, or somebody new. An address that the provider has not verified says
-- nothing about who it is: with it, no account is made or found.
-- :provider  text
-- :state     text  required maxlength=200
-- :code      text  required maxlength=8000
-- :iss       text  maxlength=2000
-- limit: 60 per 10m by=@client_ip
-- @person = provider_user(:provider, :state, :code, :iss)
-- page: /login
-- redirect: {% if _first %}/register{% else %}{{ _person.next|local("/account") }}{% endif %}
-- flash: {% if _first %}Please make an account first, then connect {{ _person.label }} on your account page.{% elif _joined %}You can log in with {{ _person.label }} now.{% endif %}
-- register: _new.id
-- login: _user.id

-- name: _person :one
select p.person ->> 'subject' as subject, p.person ->> 'email' as email, p.person ->> 'name' as name,
  p.person ->> 'label' as label, p.person ->> 'next' as next,
  case when p.person ->> 'email' is not null then cast(p.person ->> 'verified' as bigint) else 0 end as verified,
  cast(p.person ->> 'open' as bigint) as open, cast(p.person ->> 'asks' as bigint) as asks
from (select @person as person) p;

-- name: _known :maybe
select user_id as id from _identities where provider = :provider and subject = @_person.subject;

-- name: theirs :require 409 when=_known This login belongs to another account of this site.
select 1 where @user_id is null or @user_id = @_known.id;

-- name: _joined :maybe unless=_known
select id, email from users where id = @user_id;

-- name: _same :maybe unless=_known unless=_joined
select u.id, u.email, a.confirmed_at from users u left join _accounts a on a.user_id = u.id
where u.email = @_person.email and @_person.verified = 1;

-- name: confirmed :require 409 when=_same There is an account with your e-mail address, but nobody has confirmed the address. Choose a new password by mail, then try again.
select 1 where @_same.confirmed_at is not null;

-- name: _first :maybe unless=_known unless=_joined unless=_same
select 1 as yes where @_person.open = 1 and (@_person.verified = 0 or @_person.asks = 1);

-- name: open :require 409 unless=_known unless=_joined unless=_same Nobody here has this login. If you have an account, log in to it and connect this login there.
select 1 where @_person.open = 1;

-- name: _new :maybe unless=_known unless=_joined unless=_same unless=_first
insert into users (email, name) values (@_person.email, @_person.name) returning id, email;

-- name: _account :exec when=_new
insert into _accounts (user_id, confirmed_at) values (@_new.id, @now);

-- name: _whose :maybe unless=_known
select id, email from users where id in (@_joined.id, @_same.id, @_new.id);

-- name: _connected :exec when=_whose
insert into _identities (provider, subject, user_id, created_at) values (:provider, @_person.subject, @_whose.id, @now);

-- name: _noted :exec when=_whose
insert into _security_log (at, event, user_id, email, address, detail)
values (@now, 'provider_connected', @_whose.id, @_whose.email, @client_ip, :provider);

-- name: _mail :exec when=_whose unless=_new
insert into outbox (channel, recipient, template, data)
values ('email', @_whose.email, 'provider_connected',
  cast(json_build_object('email', @_whose.email, 'provider', @_person.label, 'at', cast(@now as text),
    'address', cast(@client_ip as text)) as text));

-- name: _user :maybe
select id from users where @user_id is null and id in (@_known.id, @_same.id, @_new.id);
