-- Cash comes in: the vault holds more, and the bank owes the customer more.

-- use: /desk/_account.sql
-- :amount  decimal  places=2 required min=0.01 max=1000000 label="Amount in euros"
-- :text    text     maxlength=140 label="Text"
-- @code = random(16)
-- once: 24h
-- page: /desk/accounts/[number]
-- redirect: /desk/accounts/{{ account.number }}
-- flash: Taken in: {{ params.amount|money("EUR") }}.

-- name: transfer :one
insert into transfers (code, kind, at, text, made_by) values (@code, 'deposit', @now, coalesce(:text, 'Cash paid in'), @user_id)
returning id, code;

-- name: _entries :exec
insert into entries (transfer_id, account_id, amount)
values (@transfer.id, @_cash.id, 0 - :amount), (@transfer.id, @account.id, :amount);

-- name: _balances :exec
update accounts set balance = balance + case id when @account.id then :amount else 0 - :amount end
where id in (@_cash.id, @account.id);
