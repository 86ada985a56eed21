-- name: has_password :value
select 1 from _accounts where user_id = @user_id and password_hash is not null;

-- name: passkeys :many
select credential_id, name, created_at, used_at from _passkeys where user_id = @user_id order by created_at;
