-- Sends a visitor to a provider of logins. What they must come back with counts once, for ten minutes, in this session.
-- :provider  text
-- :next      text  maxlength=2000
-- :remember  bool
-- limit: 60 per 10m by=@client_ip
-- @asked = ask_provider(:provider)
-- @until = now + 10 minutes

-- name: _old :exec
delete from _oidc where expires_at <= @now;

-- name: _asked :one
select a.asked ->> 'state_hash' as state_hash, a.asked ->> 'nonce' as nonce, a.asked ->> 'verifier' as verifier
from (select @asked as asked) a;

-- name: _kept :exec
insert into _oidc (state_hash, session_id, user_id, provider, nonce, verifier, next, remember, expires_at)
values (@_asked.state_hash, @session_id, @user_id, :provider, @_asked.nonce, @_asked.verifier, :next,
  case when :remember then 1 else 0 end, @until);
