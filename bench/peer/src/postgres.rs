//! The pages and the data on PostgreSQL: a pool of connections, each statement
//! prepared once for each of them.

use std::path::Path as FilePath;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::NoTls;
use tower_http::services::ServeDir;

use crate::Fault;
use crate::database::SCHEMA;
use crate::pages::{
    Broken, FORTUNES, Fortune, NotFoundPage, PRODUCT, PRODUCT_DATA, ProductData, ProductPage, json, render_fortunes,
};

/// Of one core; more don't make it faster.
const CONNECTIONS: usize = 16;

/// Opens the pool, creates schema and rows where they are missing, and gives
/// the routes.
pub async fn routes(url: &str, public: &FilePath) -> Result<Router, Fault> {
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(url.parse()?, NoTls, manager);
    let pool = Pool::builder(manager).max_size(CONNECTIONS).build()?;
    let client = pool.get().await?;
    let exists: bool = client.query_one("select to_regclass('products') is not null", &[]).await?.get(0);
    if !exists {
        client.batch_execute(SCHEMA).await?;
        client.batch_execute("analyze products").await?;
    }
    drop(client);
    Ok(Router::new()
        .route("/products/{slug}", get(product))
        .route("/api/products/{slug}", get(product_data))
        .route("/fortunes", get(fortunes))
        .with_state(pool)
        .fallback_service(ServeDir::new(public)))
}

async fn product(State(pool): State<Pool>, Path(slug): Path<String>) -> Result<Response, Broken> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(PRODUCT).await?;
    let row = client.query_opt(&statement, &[&slug]).await?;
    let Some(row) = row else { return Ok((StatusCode::NOT_FOUND, Html(NotFoundPage.render()?)).into_response()) };
    let page = ProductPage {
        id: row.get::<_, i32>(0).into(),
        slug: row.get(1),
        name: row.get(2),
        description: row.get(3),
        stock: row.get::<_, i32>(4).into(),
        price: row.get(5),
    };
    Ok(Html(page.render()?).into_response())
}

async fn product_data(State(pool): State<Pool>, Path(slug): Path<String>) -> Result<Response, Broken> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(PRODUCT_DATA).await?;
    let row = client.query_opt(&statement, &[&slug]).await?;
    let Some(row) = row else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let data = ProductData {
        id: row.get::<_, i32>(0).into(),
        slug: row.get(1),
        name: row.get(2),
        description: row.get(3),
        stock: row.get::<_, i32>(4).into(),
        price: row.get::<_, i32>(5).into(),
    };
    Ok(json(serde_json::to_vec(&data)?))
}

async fn fortunes(State(pool): State<Pool>) -> Result<Response, Broken> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(FORTUNES).await?;
    let rows = client.query(&statement, &[]).await?;
    let fortune = |row: &tokio_postgres::Row| Fortune {
        id: row.get::<_, i32>(0).into(),
        message: row.get::<_, String>(1).into(),
    };
    Ok(Html(render_fortunes(rows.iter().map(fortune).collect())?).into_response())
}
