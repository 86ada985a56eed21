-- The catalogue. Prices are in cents.
create table groups (
    slug        text primary key,
    name        text not null,
    position    integer not null unique,
    base_price  integer not null,
    emblem      text not null,
    about       text not null
);

create table designers (
    slug  text primary key,
    name  text not null
);

create table stickers (
    id             integer primary key,
    slug           text not null unique,
    name           text not null,
    emoji          text,
    hexcode        text not null unique,
    group_slug     text not null references groups (slug),
    subgroup       text not null,
    designer_slug  text not null references designers (slug),
    drawn_on       date not null,
    tags           text,
    price          integer not null check (price > 0),
    stock          integer not null check (stock >= 0)
);
create index stickers_by_group on stickers (group_slug, subgroup);
create index stickers_by_designer on stickers (designer_slug);
create index stickers_by_day on stickers (drawn_on);

-- What a visitor has in the cart. A cart belongs to a session and holds nothing back from the others.
create table cart_lines (
    session_id  text not null,
    sticker_id  integer not null references stickers (id),
    qty         integer not null check (qty between 1 and 99),
    added_at    timestamptz not null,
    primary key (session_id, sticker_id)
);

create table orders (
    id          integer primary key,
    code        text not null unique,
    session_id  text not null,
    name        text not null,
    email       text not null,
    street      text not null,
    postcode    text not null,
    city        text not null,
    country     text not null,
    note        text,
    goods       integer not null,
    postage     integer not null,
    ordered_at  timestamptz not null
);
create index orders_by_session on orders (session_id);

create table order_lines (
    order_id    integer not null references orders (id),
    sticker_id  integer not null references stickers (id),
    qty         integer not null check (qty > 0),
    price       integer not null,
    primary key (order_id, sticker_id)
);

-- Stickers that visitors sent in.
create table submissions (
    id          integer primary key,
    session_id  text not null,
    title       text not null,
    made_by     text not null,
    image       text not null,
    sent_at     timestamptz not null
);
create index submissions_by_session on submissions (session_id);
