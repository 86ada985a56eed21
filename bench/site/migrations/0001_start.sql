-- The schema of the benchmark. Tableside applies it as a migration, the peer
-- includes the same file: both work on the same tables and the same rows.
create table products (
  id integer primary key,
  slug text not null unique,
  name text not null,
  description text not null,
  price integer not null check (price > 0),
  stock integer not null check (stock >= 0)
);

create table cart_lines (
  session_id text not null,
  product_id integer not null references products (id),
  qty integer not null check (qty > 0),
  primary key (session_id, product_id)
);

-- Names and descriptions hold characters that HTML must escape. Every
-- hundredth product is sold out, for the check of the refusal.
with recursive numbers (n) as (
  select 1
  union all
  select n + 1 from numbers where n < 10000
)
insert into products (id, slug, name, description, price, stock)
select
  n,
  'product-' || n,
  'Lamp "Model ' || n || '" & shade',
  'A desk lamp for rooms < 20 m² and > 10 m², number ' || n
    || ' of its series. It turns & tilts, has a switch in its cable, and takes every bulb with an E14 base.',
  199 + n * 37 % 9000,
  case when n % 100 = 0 then 0 else 100 + n % 400 end
from numbers;

-- For the page of fortunes: twelve sayings, one of which must be escaped.
create table fortunes (
  id integer primary key,
  message text not null
);

insert into fortunes (id, message) values
  (1, 'A backup that was never restored is a wish.'),
  (2, 'There are two hard things: naming, and counting from one.'),
  (3, 'Who measures once believes; who measures twice knows less, but better.'),
  (4, 'A comment explains today what a name could have said for years.'),
  (5, 'Every cache is right until the first write.'),
  (6, 'The fastest code is the one that is not there.'),
  (7, 'Nobody reads the log before the fire; everybody does after it.'),
  (8, 'A deadline moves; a race condition waits.'),
  (9, 'Some errors are rare only because nobody looks.'),
  (10, 'Short is good; clear is better; both take longest.'),
  (11, '<script>alert("Escape & carry on");</script>'),
  (12, '猿も木から落ちる。');
