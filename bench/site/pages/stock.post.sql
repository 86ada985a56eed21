-- :product  int  required
-- :stock    int  required min=0 max=999
-- redirect: /products/product-{{ params.product }}
-- name: changed :exec
update products set stock = :stock where id = :product;
