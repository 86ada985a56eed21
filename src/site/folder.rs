//! Tells from a file's name below `pages/` what it is and which route it belongs to. Reads no file.

use crate::sqlfile::{Dialect, without_dialect};

/// What a file below `pages/` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A template that is a page of its own: `products/[slug].html`, `feed.xml`.
    Page,
    /// Queries that fill a template: `cart.sql`.
    Queries,
    /// An action: `cart.post.sql`.
    Action(Method),
    /// An action that runs before the page on a visitor's GET: `news/[slug].visit.sql`.
    Visit,
    /// Data without a template: `products.json.sql`.
    Data(Format),
    /// A layout, partial or error page, or the queries of one: a name with a leading `_`.
    Private,
}

/// The methods that an action can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Creates or does something.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of a name in requests.
    pub fn of(name: &str) -> Option<Method> {
        [Method::Post, Method::Put, Method::Patch, Method::Delete].into_iter().find(|method| method.name() == name)
    }
}

/// The forms of data endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// JSON.
    Json,
    /// CSV.
    Csv,
    /// The upload whose id the query selects.
    File,
}

/// What follows from a file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub role: Role,
    /// The address pattern as text: `/products/[slug]`, `/feed.xml`. For private files the path without `.sql`.
    pub route: String,
    /// For `x.sqlite.sql` and `x.postgres.sql`: the one database that it is for.
    pub dialect: Option<Dialect>,
    /// The name without the dialect: `cart.post.sql` for `cart.post.sqlite.sql`.
    pub name: String,
}

/// What a file is, by its path below `pages/` with `/` between folders. `None` for files that a site's folder may hold
/// but that mean nothing (`notes.md~`): they are never served.
pub fn piece(path: &str) -> Option<Piece> {
    let (name, dialect) = without_dialect(path);
    let private = path.split('/').any(|part| part.starts_with('_'));
    if path.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let Some(stem) = name.strip_suffix(".sql") else {
        let role = if private { Role::Private } else { Role::Page };
        return Some(Piece { role, route: page_route(&name)?, dialect: None, name: name.clone() });
    };
    let (stem, role) = match stem.rsplit_once('.').and_then(|(stem, word)| Some((stem, role(word)?))) {
        Some((stem, role)) => (stem, role),
        None => (stem, Role::Queries),
    };
    let role = if private { Role::Private } else { role };
    Some(Piece { role, route: route(stem), dialect, name })
}

/// The role that the word before `.sql` gives.
fn role(word: &str) -> Option<Role> {
    Some(match word {
        "post" => Role::Action(Method::Post),
        "put" => Role::Action(Method::Put),
        "patch" => Role::Action(Method::Patch),
        "delete" => Role::Action(Method::Delete),
        "visit" => Role::Visit,
        "json" => Role::Data(Format::Json),
        "csv" => Role::Data(Format::Csv),
        "file" => Role::Data(Format::File),
        _ => return None,
    })
}

/// The route of a template; `None` for extensions that aren't templates.
fn page_route(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "html" => Some(route(stem)),
        "xml" | "txt" | "json" | "csv" | "svg" | "ics" | "webmanifest" | "vcf" | "js" | "css" | "md" => {
            Some(format!("/{name}"))
        }
        _ => None,
    }
}

/// The route of a stem: `index` stands for its folder.
fn route(stem: &str) -> String {
    match stem.strip_suffix("index") {
        Some(folder) if folder.is_empty() || folder.ends_with('/') => format!("/{}", folder.trim_end_matches('/')),
        _ => format!("/{stem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> Option<(Role, String)> {
        piece(path).map(|piece| (piece.role, piece.route))
    }

    #[test]
    fn names_tell_what_files_are() {
        assert_eq!(told("index.html"), Some((Role::Page, "/".into())));
        assert_eq!(told("news/index.html"), Some((Role::Page, "/news".into())));
        assert_eq!(told("products/[slug].sql"), Some((Role::Queries, "/products/[slug]".into())));
        assert_eq!(told("feed.xml"), Some((Role::Page, "/feed.xml".into())));
        assert_eq!(told("cart.post.sql"), Some((Role::Action(Method::Post), "/cart".into())));
        assert_eq!(told("index.post.sql"), Some((Role::Action(Method::Post), "/".into())));
        assert_eq!(told("api/products.json.sql"), Some((Role::Data(Format::Json), "/api/products".into())));
        assert_eq!(told("_layout.html").unwrap().0, Role::Private);
        assert_eq!(told("_parts/x.post.sql").unwrap().0, Role::Private);
        assert_eq!(told("notes.bak"), None);
        assert_eq!(told(".hidden.html"), None);
    }

    #[test]
    fn a_dialect_is_told_apart_from_the_role() {
        let piece = piece("cart.post.sqlite.sql").unwrap();
        assert_eq!((piece.role, piece.route.as_str()), (Role::Action(Method::Post), "/cart"));
        assert_eq!((piece.dialect, piece.name.as_str()), (Some(Dialect::Sqlite), "cart.post.sql"));
    }
}
