-- name: account :one
select email from users where id = @user_id;
