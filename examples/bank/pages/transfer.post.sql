-- A transfer is one action: all of it happens, or none, and the same form counts once. Nobody can overdraw, because the
-- rule `covered` stands in the table itself.

-- :from    text     required maxlength=14 label="From"
-- :to      text     required pattern="[0-9]{4} ?[0-9]{4} ?[0-9]{2}" label="To account"
-- :holder  text     required maxlength=80 label="Name of the payee"
-- :amount  decimal  places=2 required min=0.01 max=1000000 label="Amount in euros"
-- :text    text     maxlength=140 label="Text for both sides"
-- :keep    bool     label="Keep as a payee"
-- @code = random(16)
-- @is_auditor = has_role('auditor')
-- once: 24h
-- fill: chosen
-- redirect: /transfers/{{ transfer.code }}
-- flash: Done: {{ params.amount|money("EUR") }} to {{ _to.holder }}.
-- error: covered on=amount That is more than this account may spend. Nothing was transferred.

-- name: changes_nothing :require 403 Auditors look at the books and change nothing in them.
select 1 where not @is_auditor;

-- name: own :require 422 on=from This is not one of your accounts.
select 1 from accounts where number = :from and user_id = @user_id;

-- name: _from :one
select id from accounts where number = :from and user_id = @user_id;

-- name: written_well :require 422 on=to This can't be an account number: a digit is wrong, or two changed places.
select 1 where cast(replace(:to, ' ', '') as numeric) % 97 = 1;

-- name: known :require 422 on=to There is no such account.
select 1 from accounts where number = replace(:to, ' ', '') and kind = 'customer' and closed_at is null;

-- name: _to :one
select id, number, holder from accounts where number = replace(:to, ' ', '') and closed_at is null;

-- name: another :require 422 on=to This is the account that pays.
select 1 from accounts where id = @_to.id and id <> @_from.id;

-- name: named :require 422 on=holder The account is not in this name. Please ask the payee.
select 1 from accounts where id = @_to.id and lower(trim(holder)) = lower(trim(:holder));

-- name: transfer :one
insert into transfers (code, kind, at, text, made_by) values (@code, 'transfer', @now, :text, @user_id)
returning id, code;

-- name: _entries :exec
insert into entries (transfer_id, account_id, amount)
values (@transfer.id, @_from.id, 0 - :amount), (@transfer.id, @_to.id, :amount);

-- name: _balances :exec
update accounts set balance = balance + case id when @_to.id then :amount else 0 - :amount end
where id in (@_from.id, @_to.id);

-- name: _kept :exec when=:keep
insert into payees (user_id, account_id) values (@user_id, @_to.id) on conflict do nothing;
