-- page: /account
-- redirect: /account
-- flash: All other sign-ins are ended.

-- name: ended :exec
delete from _sessions where user_id = @user_id and session_id <> @session_id;
