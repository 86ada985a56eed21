<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><?= h($product['name']) ?></title>
<style>body{font:16px/1.5 sans-serif;max-width:40rem;margin:0 auto;padding:1rem}nav a{margin-right:1rem}</style>
</head>
<body>
<header><nav><a href="/1k.txt">About</a> <a href="/cart">Cart</a></nav></header>
<main><h1><?= h($product['name']) ?></h1>
<p><?= h($product['description']) ?></p>
<dl><dt>Price</dt><dd><?= h($product['price']) ?> EUR</dd><dt>In stock</dt><dd><?= $product['stock'] ?></dd></dl>
<form action="/cart" method="post"><input type="hidden" name="product" value="<?= $product['id'] ?>"><label>Quantity <input type="number" name="qty" value="1" min="1" max="99" required></label> <button>Add <?= h($product['name']) ?> to the cart</button></form>
<p><a href="/products/<?= h($product['slug']) ?>">Link to this page</a></p></main>
<footer><p>Prices include tax.</p></footer>
</body>
</html>