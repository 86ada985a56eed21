-- The bank's own accounts, and its capital: banknotes in the vault, owed to the owners.
insert into accounts (id, number, kind, holder, opened_at) values
    (1, '4736878795', 'cash', 'Cash desk', '2026-01-02T08:00:00.000Z'),
    (2, '4473755528', 'fees', 'Fees earned', '2026-01-02T08:00:00.000Z'),
    (3, '4210632358', 'equity', 'Capital of the owners', '2026-01-02T08:00:00.000Z');

insert into transfers (id, code, kind, at, text) values
    (1, 'opening', 'opening', '2026-01-02T08:00:00.000Z', 'Capital paid in');

insert into entries (transfer_id, account_id, amount) values (1, 1, -10000000), (1, 3, 10000000);

update accounts set balance = -10000000 where id = 1;
update accounts set balance = 10000000 where id = 3;
