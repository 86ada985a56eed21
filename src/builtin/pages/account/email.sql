-- name: account :one
select u.email, a.password_hash is not null as has_password
from users u left join _accounts a on a.user_id = u.id where u.id = @user_id;
