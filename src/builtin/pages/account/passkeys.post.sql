-- :credential  json  required
-- :name        text  maxlength=100 default=Passkey label="Name"
-- :password  password  maxlength=1024 autocomplete=current-password label="Your password"
-- @ok = password_ok(:password)
-- @made = new_passkey(:credential)
-- redirect: /account/passkeys
-- flash: The passkey is saved.

-- name: right :require 422 on=password This is not your password.
select 1 where @ok or not exists (select 1 from _accounts where user_id = @user_id and password_hash is not null);

-- name: readable :require 422 This passkey could not be read. Please try again.
select 1 where cast(@made as text) is not null;

-- name: _saved :exec
insert into _passkeys (credential_id, user_id, public_key, counter, name, created_at)
select m.made ->> 'credential_id', @user_id, m.made ->> 'public_key', cast(m.made ->> 'counter' as bigint), :name, @now
from (select @made as made) m;

-- name: _noted :exec
insert into _security_log (at, event, user_id, address) values (@now, 'passkey_added', @user_id, @client_ip);
