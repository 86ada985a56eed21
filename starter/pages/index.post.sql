-- The form of the page /. Each line declares a field; the browser and the server check the same rules.
-- :name     text  required maxlength=80
-- :message  text  required maxlength=1000
-- redirect: /
-- flash: Thank you for writing!
-- name: entry :exec
insert into entries (name, message, written_at) values (:name, :message, @now);
