-- :address  text  required maxlength=200 autocomplete=street-address label="Postal address"
-- fill: person
-- redirect: /profile
-- flash: Your address is saved.

-- name: saved :exec
insert into customers (user_id, address, since) values (@user_id, :address, @now)
on conflict (user_id) do update set address = excluded.address;
