-- A customer may call an account as they like. The name on it, its number and its limit are not taken here at all.

-- :nickname  text  maxlength=40 label="Your name for it"
-- page: /profile
-- redirect: /profile
-- flash: Saved.

-- name: account :one
select id from accounts where number = :number and user_id = @user_id;

-- name: named :exec
update accounts set nickname = :nickname where id = @account.id and user_id = @user_id;
