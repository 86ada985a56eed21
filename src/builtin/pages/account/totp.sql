-- name: account :one
select u.email, a.totp_at, a.password_hash is not null as has_password, case when a.totp_at is null then a.totp_secret end as secret,
  (select count(*) from _recovery_codes r where r.user_id = u.id) as recovery_codes
from users u left join _accounts a on a.user_id = u.id where u.id = @user_id;
