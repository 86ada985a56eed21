-- name: account :one
select u.email, u.name, u.created_at, a.confirmed_at, a.totp_at, a.password_hash is not null as has_password,
  (select count(*) from _passkeys p where p.user_id = u.id) as passkeys,
  (select count(*) from _api_tokens t where t.user_id = u.id) as tokens,
  (select count(*) from _recovery_codes r where r.user_id = u.id) as recovery_codes,
  cast(@now as text) as now
from users u left join _accounts a on a.user_id = u.id where u.id = @user_id;

-- name: sign_ins :many
select handle, device, address, login_at, seen_at, session_id = @session_id as is_this
from _sessions where user_id = @user_id and ends_at > @now order by session_id = @session_id desc, seen_at desc;

-- name: identities :many
select provider, created_at from _identities where user_id = @user_id order by provider;
