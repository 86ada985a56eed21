-- The same lines for a spreadsheet, oldest first. What was searched and filtered on the page is so here, too.

-- use: /_statement.sql

-- name: held :with
select id from accounts where number = :number and user_id = @user_id;

-- name: _account :one
select id from accounts where number = :number and user_id = @user_id;

-- name: statement :many
select at, code as reference, other_holder as name, other_number as account, text,
       cast(amount as double precision) / 100 as amount_eur, cast(balance as double precision) / 100 as balance_eur
from found order by transfer_id;
