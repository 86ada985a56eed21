-- :next  text  maxlength=2000

-- name: waiting :require 404 Please log in first.
select 1 from _sessions where session_id = @session_id and waiting_user_id is not null and waiting_until > @now;
