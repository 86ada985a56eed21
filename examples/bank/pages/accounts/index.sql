-- name: accounts :many
select number, holder, nickname, balance, overdraft, balance + overdraft as available
from accounts where user_id = @user_id
order by id;

-- name: latest :many
select t.code, t.at, t.text, t.kind, e.amount, other.holder as other_holder, mine.number
from accounts mine
join entries e on e.account_id = mine.id
join transfers t on t.id = e.transfer_id
join accounts other on other.id = (select c.account_id from entries c
                                   where c.transfer_id = e.transfer_id and c.account_id <> e.account_id
                                   order by abs(c.amount) desc, c.account_id limit 1)
where mine.user_id = @user_id
order by t.id desc, e.amount limit 6;

-- name: total :value
select sum(balance) from accounts where user_id = @user_id;
