-- page: /account
-- redirect: /account
-- flash: The sign-in is ended.

-- name: ended :exec
delete from _sessions where handle = :handle and user_id = @user_id;
