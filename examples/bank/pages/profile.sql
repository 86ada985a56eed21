-- name: person :maybe
select address, since from customers where user_id = @user_id;

-- name: accounts :many
select number, holder, nickname, overdraft, opened_at from accounts where user_id = @user_id order by id;
