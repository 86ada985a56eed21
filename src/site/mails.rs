//! Reads `mail/`, the templates of messages.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::load::render_options;
use super::sources::walk;
use super::statics::Statics;
use crate::outbox::Mails;
use crate::problem::Fault;
use crate::render::{Options, Source};
use crate::settings::Settings;

/// The largest template of a mail, in bytes; what is larger no reader of mail shows whole.
const LARGEST: u64 = 1024 * 1024;

/// The mails of a site's folder, laid over the built-in ones. A plain folder has no `mail/`.
pub(super) fn read(
    folder: &Path,
    plain: bool,
    settings: &Settings,
    statics: &Arc<Statics>,
    faults: &mut Vec<Fault>,
) -> Mails {
    let root = folder.join("mail");
    let mut paths = Vec::new();
    if !plain {
        walk(&root, "", &mut paths, faults);
    }
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        match text(&root.join(&path)) {
            Ok(text) => {
                let file = format!("mail/{path}").into();
                sources.push(Source { name: path.into(), file, text: text.into() });
            }
            Err(error) => faults.push(Fault::everywhere(format!("can't read `mail/{path}`: {error}"))),
        }
    }
    let (mails, found) = Mails::build(sources, options(settings, statics));
    faults.extend(found);
    mails
}

fn text(path: &Path) -> std::io::Result<String> {
    match fs::metadata(path)?.len() > LARGEST {
        true => Err(std::io::Error::other("it is too large for a mail")),
        false => fs::read_to_string(path),
    }
}

/// As for pages, but with whole addresses: a mail is read elsewhere.
fn options(settings: &Settings, statics: &Arc<Statics>) -> Options {
    let inner = render_options(settings, statics.clone());
    let url = settings.site_url.trim_end_matches('/').to_string();
    let (asset, prefix) = (inner.asset.clone(), format!("{url}{}", inner.upload_prefix));
    Options {
        asset: Arc::new(move |path: &str| Ok(format!("{url}{}", asset(path)?))),
        upload_prefix: prefix.into(),
        ..inner
    }
}
