-- All that the site keeps of a user. A query for each table of [owners] is added when the site is read.
-- download: my-data.json

-- name: account :one
select u.id, u.email, u.name, u.created_at, a.confirmed_at, a.password_at as password_changed_at,
  a.totp_at as second_factor_since
from users u left join _accounts a on a.user_id = u.id where u.id = @user_id;

-- name: roles :list
select role from _roles where user_id = @user_id order by role;

-- name: sign_ins :many
select device, address, login_at, seen_at, ends_at from _sessions where user_id = @user_id order by login_at;

-- name: passkeys :many
select name, created_at, used_at from _passkeys where user_id = @user_id order by created_at;

-- name: tokens :many
select name, access, paths, created_at, expires_at, used_on from _api_tokens where user_id = @user_id order by id;

-- name: identities :many
select provider, subject, created_at from _identities where user_id = @user_id order by provider;

-- name: security_log :many
select at, event, address, detail from _security_log where user_id = @user_id order by id;
