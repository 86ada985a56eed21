<?php
// The shop in plain PHP: one script, one connection kept by each process.
$path = $_SERVER['REQUEST_URI'];
if ($path === '/fortunes') {
    fortunes();
} elseif (preg_match('~^/products/([a-z0-9-]+)$~', $path, $found)) {
    product($found[1]);
} elseif (preg_match('~^/api/products/([a-z0-9-]+)$~', $path, $found)) {
    product_data($found[1]);
} else {
    missing();
}

function fortunes(): void
{
    $fortunes = query('select id, message from fortunes')->fetchAll(PDO::FETCH_NUM);
    $fortunes[] = [0, 'Additional fortune added at request time.'];
    usort($fortunes, fn ($one, $other) => strcmp($one[1], $other[1]));
    require __DIR__ . '/fortunes.php';
}

function product(string $slug): void
{
    $product = query(
        "select id, slug, name, description, stock,
           (price / 100) || '.' || substr(cast(100 + price % 100 as text), 2) as price
         from products where slug = ?",
        [$slug]
    )->fetch();
    $product ? require __DIR__ . '/product.php' : missing();
}

function product_data(string $slug): void
{
    $product = query('select id, slug, name, description, stock, price from products where slug = ?', [$slug])->fetch();
    if (!$product) {
        missing();
        return;
    }
    header('Content-Type: application/json');
    echo json_encode($product, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
}

function missing(): void
{
    http_response_code(404);
    echo 'Not found';
}

function query(string $sql, array $values = []): PDOStatement
{
    $statement = database()->prepare($sql);
    $statement->execute($values);
    return $statement;
}

function database(): PDO
{
    static $database;
    return $database ??= new PDO(getenv('SHOP_DSN'), null, null, [
        PDO::ATTR_PERSISTENT => true,
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
        // One way to PostgreSQL and back instead of two.
        PDO::ATTR_EMULATE_PREPARES => true,
    ]);
}

function h(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES);
}
