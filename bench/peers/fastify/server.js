// The shop on Fastify: better-sqlite3 or pg, statements prepared once, template strings.
"use strict";
const fastify = require("fastify")();

const FORTUNES = "select id, message from fortunes";
const PRODUCT = `select id, slug, name, description, stock,
  (price / 100) || '.' || substr(cast(100 + price % 100 as text), 2) as price
  from products where slug = $1`;
const PRODUCT_DATA = "select id, slug, name, description, stock, price from products where slug = $1";

const SCHEMA = {
  type: "object",
  properties: {
    id: { type: "integer" },
    slug: { type: "string" },
    name: { type: "string" },
    description: { type: "string" },
    stock: { type: "integer" },
    price: { type: "integer" },
  },
};

fastify.get("/fortunes", async (request, reply) => {
  const fortunes = await shop.all(FORTUNES);
  fortunes.push({ id: 0, message: "Additional fortune added at request time." });
  fortunes.sort((one, other) => (one.message < other.message ? -1 : 1));
  return reply.type("text/html; charset=utf-8").send(fortunesPage(fortunes));
});

fastify.get("/products/:slug", async (request, reply) => {
  const [product] = await shop.all(PRODUCT, request.params.slug);
  if (!product) return reply.callNotFound();
  return reply.type("text/html; charset=utf-8").send(productPage(product));
});

fastify.get("/api/products/:slug", { schema: { response: { 200: SCHEMA } } }, async (request, reply) => {
  const [product] = await shop.all(PRODUCT_DATA, request.params.slug);
  return product ?? reply.callNotFound();
});

const shop = open(process.env.SHOP_DATABASE);
fastify.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });

function open(database) {
  return database.startsWith("postgres:") ? openPostgres(database) : openSqlite(database);
}

function openSqlite(file) {
  const database = require("better-sqlite3")(file);
  database.pragma("mmap_size = 268435456");
  const statements = new Map();
  return {
    all(sql, ...values) {
      let statement = statements.get(sql);
      if (!statement) statements.set(sql, (statement = database.prepare(sql.replace("$1", "?"))));
      return statement.all(...values);
    },
  };
}

function openPostgres(url) {
  const { Pool } = require("pg");
  const pool = new Pool({ connectionString: url, max: 16 });
  return {
    async all(sql, ...values) {
      // A name makes the driver prepare it once for each connection.
      return (await pool.query({ name: sql.slice(0, 60), text: sql, values })).rows;
    },
  };
}

function h(text) {
  return text.replace(/[&<>"']/g, (sign) => REFERENCES[sign]);
}

const REFERENCES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function fortunesPage(fortunes) {
  return `<!DOCTYPE html><html><head><title>Fortunes</title></head><body><table><tr><th>id</th><th>message</th></tr>${fortunes.map(({ id, message }) => `<tr><td>${id}</td><td>${h(message)}</td></tr>`).join("")}</table></body></html>`;
}

function productPage(product) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${h(product.name)}</title>
<style>body{font:16px/1.5 sans-serif;max-width:40rem;margin:0 auto;padding:1rem}nav a{margin-right:1rem}</style>
</head>
<body>
<header><nav><a href="/1k.txt">About</a> <a href="/cart">Cart</a></nav></header>
<main><h1>${h(product.name)}</h1>
<p>${h(product.description)}</p>
<dl><dt>Price</dt><dd>${h(product.price)} EUR</dd><dt>In stock</dt><dd>${product.stock}</dd></dl>
<form action="/cart" method="post"><input type="hidden" name="product" value="${product.id}"><label>Quantity <input type="number" name="qty" value="1" min="1" max="99" required></label> <button>Add ${h(product.name)} to the cart</button></form>
<p><a href="/products/${h(product.slug)}">Link to this page</a></p></main>
<footer><p>Prices include tax.</p></footer>
</body>
</html>`;
}
