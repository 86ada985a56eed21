-- :name  text  maxlength=100 autocomplete=name label="Your name"
-- page: /account
-- redirect: /account
-- flash: Your name is saved.
-- fill: account

-- name: saved :exec
update users set name = :name where id = @user_id;
