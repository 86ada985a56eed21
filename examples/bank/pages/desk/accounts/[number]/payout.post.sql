-- Cash goes out, for a fee of 1.00: three entries that come to zero.

-- use: /desk/_account.sql
-- :amount  decimal  places=2 required min=1 max=1000000 label="Amount in euros"
-- @code = random(16)
-- once: 24h
-- page: /desk/accounts/[number]
-- redirect: /desk/accounts/{{ account.number }}
-- flash: Paid out: {{ params.amount|money("EUR") }}, for a fee of {{ 100|money("EUR") }}.
-- error: covered on=amount With the fee of 1.00 that is more than the account may spend.
-- error: cash_at_hand on=amount There isn't so much cash in the vault.

-- name: _fees :one
select id from accounts where kind = 'fees';

-- name: transfer :one
insert into transfers (code, kind, at, text, made_by) values (@code, 'payout', @now, 'Cash paid out, with the fee of 1.00', @user_id)
returning id, code;

-- name: _entries :exec
insert into entries (transfer_id, account_id, amount)
values (@transfer.id, @account.id, 0 - :amount - 100), (@transfer.id, @_cash.id, :amount), (@transfer.id, @_fees.id, 100);

-- name: _balances :exec
update accounts
set balance = balance + case id when @_cash.id then :amount when @_fees.id then 100 else 0 - :amount - 100 end
where id in (@account.id, @_cash.id, @_fees.id);
