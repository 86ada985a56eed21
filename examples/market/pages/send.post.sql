-- Takes in a visitor's own sticker. The server looks into the file: what is no image is refused.

-- :title    text  required minlength=2 maxlength=60
-- :made_by  text  required maxlength=60
-- :image    file  required accept=image/* max=1MB
-- redirect: /send
-- flash: Thank you! We have your sticker.

-- name: added :exec
insert into submissions (session_id, title, made_by, image, sent_at)
values (@session_id, :title, :made_by, :image, @now);
