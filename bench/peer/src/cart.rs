//! The actions: `POST /cart` with a product and a quantity, `POST /stock` with a
//! product and what is left of it.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use serde::Deserialize;

use crate::Shop;
use crate::database::{NewLine, Write, Written};
use crate::pages::{Broken, render_cart};

/// What the next page says after a line was added.
pub const FLASH: &str = "Added to your cart.";

/// The cookie that makes it say so.
pub const FLASH_COOKIE: &str = "flash";

const NOT_ENOUGH: &str = "There are not that many left.";
const QUANTITIES: std::ops::RangeInclusive<i64> = 1..=99;

/// The form's fields.
#[derive(Deserialize)]
pub struct CartForm {
    product: i64,
    #[serde(default = "one")]
    qty: i64,
}

fn one() -> i64 {
    1
}

/// `POST /cart`: adds a line to the visitor's cart and shows the cart.
pub async fn add(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    Form(form): Form<CartForm>,
) -> Result<Response, Broken> {
    if !QUANTITIES.contains(&form.qty) {
        return refusal(&shop, &headers, "The quantity is from 1 to 99.");
    }
    let line = NewLine { secret: cookie(&headers, "session").map(str::to_owned), product: form.product, qty: form.qty };
    match shop.writer.write(Write::Line(line)).await? {
        Written::Done { new_secret } => Ok(to_the_cart(new_secret)),
        Written::NotEnough => refusal(&shop, &headers, NOT_ENOUGH),
    }
}

/// 303 to the cart with the flash message and, for a new session, its cookie.
fn to_the_cart(new_secret: Option<String>) -> Response {
    let flash = "flash=added; Path=/; Max-Age=60; HttpOnly; SameSite=Lax".to_owned();
    let session =
        new_secret.map(|secret| format!("session={secret}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"));
    let cookies = [Some(flash), session].into_iter().flatten();
    let cookies = cookies.map(|cookie| (header::SET_COOKIE, cookie)).collect();
    let cookies: AppendHeaders<Vec<(HeaderName, String)>> = AppendHeaders(cookies);
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/cart")], cookies).into_response()
}

/// 422: the cart again, with the message.
fn refusal(shop: &Shop, headers: &HeaderMap, message: &str) -> Result<Response, Broken> {
    let page = render_cart(shop, headers, None, Some(message))?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response())
}

/// The fields of the stock's form.
#[derive(Deserialize)]
pub struct StockForm {
    product: i64,
    stock: i64,
}

/// `POST /stock`: writes down what is left and shows the product.
pub async fn set_stock(State(shop): State<Arc<Shop>>, Form(form): Form<StockForm>) -> Result<Response, Broken> {
    if !(0..=999).contains(&form.stock) {
        return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response());
    }
    shop.writer.write(Write::Stock { product: form.product, stock: form.stock }).await?;
    let place = format!("/products/product-{}", form.product);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response())
}

/// Refuses an action that a page of another site sent in the visitor's name.
pub async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site");
    let own = site.is_none_or(|site| site == "same-origin" || site == "none");
    if request.method() == Method::POST && !own {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

/// The value of the visitor's cookie of this name.
pub fn cookie<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
