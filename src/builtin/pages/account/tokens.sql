-- name: has_password :value
select 1 from _accounts where user_id = @user_id and password_hash is not null;

-- name: tokens :many
select id, name, access, paths, created_at, expires_at, used_on from _api_tokens where user_id = @user_id
order by created_at desc;
