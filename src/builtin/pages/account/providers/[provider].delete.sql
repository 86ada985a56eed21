-- page: /account
-- redirect: /account
-- flash: You can't log in with it any more.

-- name: another_way :require 422 You have no other way to log in. Please choose a password or add a passkey first.
select 1 where exists (select 1 from _accounts where user_id = @user_id and password_hash is not null)
  or exists (select 1 from _passkeys where user_id = @user_id)
  or exists (select 1 from _identities where user_id = @user_id and provider <> :provider);

-- name: _gone :exec
delete from _identities where provider = :provider and user_id = @user_id;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address, detail)
values (@now, 'provider_disconnected', @user_id, @client_ip, :provider);
