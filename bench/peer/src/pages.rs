//! The pages and the data: one product, the sayings, the cart.

use std::borrow::Cow;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::Shop;
use crate::cart::{FLASH, FLASH_COOKIE, cookie};
use crate::database::{SESSION, secret_hash};

/// `$1` is a parameter in both databases' SQL.
pub const PRODUCT: &str = "select id, slug, name, description, stock, \
    (price / 100) || '.' || substr(cast(100 + price % 100 as text), 2) as price \
    from products where slug = $1";

const LINES: &str = "select p.slug, p.name, l.qty, \
    (l.qty * p.price / 100) || '.' || substr(cast(100 + l.qty * p.price % 100 as text), 2) as amount \
    from cart_lines l join products p on p.id = l.product_id \
    where l.session_id = ?1 order by p.id";

/// A product, its price as it is shown.
#[derive(Template)]
#[template(path = "product.html")]
pub struct ProductPage<'row> {
    pub id: i64,
    pub slug: &'row str,
    pub name: &'row str,
    pub description: &'row str,
    pub stock: i64,
    pub price: &'row str,
}

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage<'visit> {
    flash: Option<&'visit str>,
    error: Option<&'visit str>,
    lines: Vec<Line>,
}

/// The row of a product as the data endpoint gives it.
pub const PRODUCT_DATA: &str = "select id, slug, name, description, stock, price from products where slug = $1";

/// All sayings; the page adds one and sorts them.
pub const FORTUNES: &str = "select id, message from fortunes";

/// A product as JSON.
#[derive(Serialize)]
pub struct ProductData<'row> {
    pub id: i64,
    pub slug: &'row str,
    pub name: &'row str,
    pub description: &'row str,
    pub stock: i64,
    pub price: i64,
}

/// A saying.
pub struct Fortune {
    pub id: i64,
    pub message: Cow<'static, str>,
}

#[derive(Template)]
#[template(path = "fortunes.html")]
struct FortunesPage {
    fortunes: Vec<Fortune>,
}

/// What there is instead of a product that isn't there.
#[derive(Template)]
#[template(path = "not_found.html")]
pub struct NotFoundPage;

/// A line of the cart, its amount as it is shown.
struct Line {
    slug: String,
    name: String,
    qty: i64,
    amount: String,
}

/// A page that couldn't be read or rendered: the cause is for the log alone.
pub struct Broken(Box<dyn std::error::Error>);

impl<E: std::error::Error + 'static> From<E> for Broken {
    fn from(cause: E) -> Self {
        Self(Box::new(cause))
    }
}

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        eprintln!("peer: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// `GET /products/{slug}`
pub async fn product(State(shop): State<Arc<Shop>>, Path(slug): Path<String>) -> Result<Response, Broken> {
    let page = shop.readers.read(|connection| {
        connection.prepare_cached(PRODUCT)?.query_row([&slug], |row| Ok(render_product(row))).optional()
    })?;
    Ok(match page {
        Some(page) => Html(page?).into_response(),
        None => (StatusCode::NOT_FOUND, Html(NotFoundPage.render()?)).into_response(),
    })
}

/// Renders while the row is open, so that its texts aren't copied first.
fn render_product(row: &Row) -> Result<String, Broken> {
    let page = ProductPage {
        id: row.get(0)?,
        slug: row.get_ref(1)?.as_str()?,
        name: row.get_ref(2)?.as_str()?,
        description: row.get_ref(3)?.as_str()?,
        stock: row.get(4)?,
        price: row.get_ref(5)?.as_str()?,
    };
    Ok(page.render()?)
}

/// `GET /api/products/{slug}`
pub async fn product_data(State(shop): State<Arc<Shop>>, Path(slug): Path<String>) -> Result<Response, Broken> {
    let data = shop.readers.read(|connection| {
        connection.prepare_cached(PRODUCT_DATA)?.query_row([&slug], |row| Ok(write_product(row))).optional()
    })?;
    match data {
        Some(data) => Ok(json(data?)),
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

fn write_product(row: &Row) -> Result<Vec<u8>, Broken> {
    let data = ProductData {
        id: row.get(0)?,
        slug: row.get_ref(1)?.as_str()?,
        name: row.get_ref(2)?.as_str()?,
        description: row.get_ref(3)?.as_str()?,
        stock: row.get(4)?,
        price: row.get(5)?,
    };
    Ok(serde_json::to_vec(&data)?)
}

/// An answer of JSON.
pub fn json(data: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], data).into_response()
}

/// `GET /fortunes`
pub async fn fortunes(State(shop): State<Arc<Shop>>) -> Result<Response, Broken> {
    let fortunes = shop.readers.read(|connection| {
        let mut statement = connection.prepare_cached(FORTUNES)?;
        let rows = statement.query_map([], |row| Ok(Fortune { id: row.get(0)?, message: Cow::Owned(row.get(1)?) }))?;
        rows.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Html(render_fortunes(fortunes)?).into_response())
}

/// Adds the row of this request, sorts by the message's bytes, renders.
pub fn render_fortunes(mut fortunes: Vec<Fortune>) -> askama::Result<String> {
    fortunes.push(Fortune { id: 0, message: Cow::Borrowed("Additional fortune added at request time.") });
    fortunes.sort_unstable_by(|one, other| one.message.cmp(&other.message));
    FortunesPage { fortunes }.render()
}

/// `GET /cart`; shows the flash message once.
pub async fn cart(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Result<Response, Broken> {
    let flash = cookie(&headers, FLASH_COOKIE).map(|_| FLASH);
    let page = render_cart(&shop, &headers, flash, None)?;
    let forget = flash.map(|_| (header::SET_COOKIE, "flash=; Path=/; Max-Age=0"));
    Ok((AppendHeaders(forget), Html(page)).into_response())
}

/// The cart's page with, above its lines, a message or an error.
pub fn render_cart(
    shop: &Shop,
    headers: &HeaderMap,
    flash: Option<&str>,
    error: Option<&str>,
) -> Result<String, Broken> {
    let lines = match cookie(headers, "session") {
        Some(secret) => shop.readers.read(|connection| lines(connection, secret))?,
        None => Vec::new(),
    };
    Ok(CartPage { flash, error, lines }.render()?)
}

fn lines(connection: &Connection, secret: &str) -> rusqlite::Result<Vec<Line>> {
    let session: Option<String> =
        connection.prepare_cached(SESSION)?.query_row([secret_hash(secret)], |row| row.get(0)).optional()?;
    let mut statement = connection.prepare_cached(LINES)?;
    let lines = statement.query_map([session], |row| {
        Ok(Line { slug: row.get(0)?, name: row.get(1)?, qty: row.get(2)?, amount: row.get(3)? })
    })?;
    lines.collect()
}
