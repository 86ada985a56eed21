-- name: sent :many
select title, made_by, image, sent_at from submissions where session_id = @session_id order by id desc;
