-- @hash = token_hash(:token)
-- redirect: /account
-- flash: Your e-mail address is confirmed.

-- name: _link :maybe
delete from _links where token_hash = @hash and purpose = 'confirm' and expires_at > @now returning user_id, email;

-- name: _confirmed :exec
update _accounts set confirmed_at = coalesce(confirmed_at, @now) 
where user_id = (select id from users where id = @_link.user_id and email = @_link.email);

-- name: valid :require 422 This link was used already, or is too old.
select 1 where @_confirmed.count > 0;
