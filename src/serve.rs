//! The spine: the way of one request, a line per step.

mod admission;
mod keeping;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};

use crate::accept::{self, Handled, Incoming};
use crate::access::{self, Verdict};
use crate::answer::action::Received;
use crate::answer::{self, Tools};
use crate::app::App;
use crate::boxed;
use crate::database::Commit;
use crate::flow::visitor::Visitor;
use crate::flow::{Answer, Content, Head, Reply, Route, Visit, body};
use crate::parse;
use crate::problem::{Kind, Problem};
use crate::respond;
use crate::route;
use crate::settings::AccessRule;
use crate::site::statics::Found;
use crate::site::{Endpoint, Match, Site, folder};
use admission::admit;
use keeping::Looked;

/// The path parameter that is called so is a secret, as in the links of mails.
const TOKEN: &str = "token";

/// The block that HTMX asks for.
const HX_TARGET: HeaderName = HeaderName::from_static("hx-target");

/// Serves an [`App`] on one core.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
}

impl Server {
    /// A server of this app; each core has one.
    pub fn new(app: Arc<App>) -> Server {
        Server { app }
    }

    /// The beginning of the way of one request: where it leads, and the answer where that needs neither the visitor nor
    /// the database.
    fn begin(&self, site: &Arc<Site>, visit: &mut Visit) -> Result<Begun, Problem> {
        if let parse::Address::Collapsed(to) = parse::address(visit, &self.app.parse_limits)? {
            return Ok(Begun::Answered(Answer::redirect(StatusCode::PERMANENT_REDIRECT, &to)));
        }
        let route = route::route(site, visit);
        visit.trace.record_next("route", "");
        match route {
            // Where no rule asks, who fetches a file is nobody's business.
            Route::Static(found) if site.settings.access.is_empty() => {
                let answer = answer::static_file::answer(&site.statics, found, visit)?;
                answer.map(Begun::Answered).ok_or_else(Problem::not_found)
            }
            Route::Endpoint(found) if !self.app.is_broken() => {
                let versions = self.app.database().map(|database| database.versions());
                let wanted = wanted(visit, &found);
                visit.is_fresh = parse::cookie(&visit.headers, answer::session::FRESH).is_some();
                let kept =
                    versions.and_then(|known| keeping::ready(&self.app.cache, site, known, visit, &found, wanted));
                Ok(kept.map_or_else(|| Begun::Led(Route::Endpoint(found)), |kept| Begun::Answered(Answer::kept(kept))))
            }
            route => Ok(Begun::Led(route)),
        }
    }

    /// The rest of the way. Who sends the request is left behind for the page that tells of a problem.
    async fn way(
        &self,
        site: &Arc<Site>,
        visit: &mut Visit,
        route: Route,
        body: Incoming,
        known: &mut Option<Arc<Visitor>>,
    ) -> Result<Answer, Problem> {
        let visitor = known.insert(self.visitor(site, visit)).clone();
        match route {
            Route::Static(found) => Box::pin(self.file(site, visit, &visitor, found)).await,
            // A redirect would tell that something hidden is there.
            Route::Moved(found, to) => match admit(&self.tools(site)?, visit, &visitor, &found.endpoint.rules).await {
                Err(Problem { kind: Kind::NotFound, .. }) => Err(Problem::not_found()),
                _ => Ok(Answer::redirect(StatusCode::PERMANENT_REDIRECT, &to)),
            },
            Route::Upload(id) => {
                admit(&self.tools(site)?, visit, &visitor, &site.upload_rules()).await?;
                admission::check_token(visit, &visitor, false)?;
                Box::pin(answer::upload::answer(&self.tools(site)?, &id, visit)).await
            }
            Route::Endpoint(_) if self.app.is_broken() => {
                Ok(answer::error::faults_for_author(&self.app.faults(), "This site has faults"))
            }
            Route::Endpoint(found) => self.admitted(site, visit, &visitor, found, body).await,
            Route::Return(found) => {
                admit(&self.tools(site)?, visit, &visitor, &found.endpoint.rules).await?;
                let pairs = parse::query_pairs(visit.query(), self.app.parse_limits.fields)?;
                Box::pin(answer::provider::answer(&self.tools(site)?, visit, &visitor, &found, pairs)).await
            }
            Route::Nothing => match Box::pin(self.app.development_answer(visit)).await {
                Some(answer) => Ok(answer),
                None => Err(Problem::not_found()),
            },
        }
    }

    /// A file of `public/` that rules are about, or a redirect to one.
    async fn file(
        &self,
        site: &Arc<Site>,
        visit: &mut Visit,
        visitor: &Arc<Visitor>,
        found: Found,
    ) -> Result<Answer, Problem> {
        let rules = self.static_rules(site, &found, visit, visitor).await?;
        admission::check_token(visit, visitor, false)?;
        let answer = answer::static_file::answer(&site.statics, found, visit)?;
        Ok(access::unshared(&rules, &visit.method, answer.ok_or_else(Problem::not_found)?))
    }

    /// An endpoint, to those who are let in.
    async fn admitted(
        &self,
        site: &Arc<Site>,
        visit: &mut Visit,
        visitor: &Arc<Visitor>,
        found: Match,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let endpoint = found.endpoint.clone();
        if let Some(token) = found.value(TOKEN) {
            visit.hide(token);
        }
        admit(&self.tools(site)?, visit, visitor, &endpoint.rules).await?;
        admission::check_token(visit, visitor, endpoint.builtin)?;
        let answer = self.endpoint(site, visit, visitor, found, body).await?;
        if visitor.identity().needs_upkeep() {
            let secret = parse::cookie(&visit.headers, answer::session::cookie_name(visit.secure));
            let secret = secret.map(str::to_string);
            Box::pin(answer::session::keep_alive(&self.tools(site)?, visit, visitor, secret)).await;
        }
        Ok(access::unshared(&endpoint.rules, &visit.method, answer))
    }

    /// The access rules hold for files of `public/`, too: those of the file. On a redirect those of its own address hold,
    /// because where it leads may be a secret; and it must not tell that something hidden is there.
    async fn static_rules(
        &self,
        site: &Arc<Site>,
        found: &Found,
        visit: &Visit,
        visitor: &Arc<Visitor>,
    ) -> Result<Vec<AccessRule>, Problem> {
        let mut target = Vec::new();
        let rules = match found {
            Found::File(file) => site.static_rules(file.address()),
            Found::Moved { to, .. } => {
                let path = to.split(['?', '#']).next().unwrap_or("");
                target = site.static_rules(&percent_encoding::percent_decode_str(path).decode_utf8_lossy());
                site.static_rules(visit.path())
            }
            _ => Vec::new(),
        };
        if !rules.is_empty() || !target.is_empty() {
            let tools = self.tools(site)?;
            admit(&tools, visit, visitor, &rules).await?;
            answer::identify(&tools, visitor).await?;
            if admission::verdict(&target, &visit.method, visitor) == Verdict::Hidden {
                return Err(Problem::not_found());
            }
        }
        Ok(rules)
    }

    /// What answers at a pattern of `pages/`, by the method.
    async fn endpoint(
        &self,
        site: &Arc<Site>,
        visit: &mut Visit,
        visitor: &Arc<Visitor>,
        found: Match,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let tools = self.tools(site)?;
        match visit.method {
            Method::GET | Method::HEAD => {
                let wanted = wanted(visit, &found);
                let most_fields = self.app.parse_limits.fields;
                let looked = keeping::look(&self.app.cache, &tools, visit, visitor, &found, wanted).await?;
                let (keep, making) = match looked {
                    Looked::Miss(keep, making) => (keep, making),
                    Looked::Hit(kept) => {
                        return Box::pin(keeping::kept(&tools, visit, visitor, (&found, wanted), kept, most_fields))
                            .await;
                    }
                };
                let asked = answer::Asked {
                    pairs: parse::query_pairs(visit.query(), most_fields)?,
                    wanted,
                    keep,
                    counts: found.endpoint.visit.is_some() && access::is_visit(visit),
                    block: visit.header(&HX_TARGET).map(str::to_string),
                };
                // Where JSON is what is asked for, errors are told in it, too.
                visit.wants_json |= asked.wanted == Some("application/json");
                let answer = answer::ask(&tools, visit, visitor, &found, &asked).await;
                making.made(site, visit, visitor, (&found, wanted, &asked.keep), answer)
            }
            Method::OPTIONS => Ok(answer::options(&found.endpoint)),
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                access::same_site(visit, &site.settings.site_url)?;
                let received = boxed::pinned(|| self.receive(&tools, visit, visitor, &found, body)).await?;
                // `@method` is what the form asks for.
                let visitor = match *visitor.method() == visit.method {
                    true => visitor.clone(),
                    false => Arc::new(visitor.with_method(visit.method.clone())),
                };
                boxed::pinned(|| answer::action::answer(&tools, visit, &visitor, &found, received)).await
            }
            _ => Err(answer::no_such_method(&found.endpoint)),
        }
    }

    /// Reads the body of an action. A form's hidden `_method` may change the method, and with it who may.
    async fn receive(
        &self,
        tools: &Tools<'_>,
        visit: &mut Visit,
        visitor: &Arc<Visitor>,
        found: &Match,
        body: Incoming,
    ) -> Result<Received, Problem> {
        if found.endpoint.actions.is_empty() {
            return Err(answer::no_such_method(&found.endpoint));
        }
        let began = visit.trace.last_end();
        // Also when the body can't be read, a program is told so in its own form.
        visit.wants_json |= parse::prefers_json(&visit.headers)
            || visit.header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
        let mut taker = answer::upload::Taker::new(tools, &found.endpoint)?;
        let sent = parse::body(visit, body, &self.app.parse_limits, &mut taker).await?;
        let mut received = Received { stored: taker.into_files(), ..Received::default() };
        match sent {
            body::Sent::Nothing => {}
            body::Sent::Form(form) => (received.texts, received.files) = (form.texts, form.files),
            body::Sent::Json(json) => {
                // Also `application/vnd.api+json` and its siblings.
                visit.wants_json = true;
                received.json = Some(json);
            }
        }
        if let (Some(method), &Method::POST) = (received.method(), &visit.method) {
            visit.set_method(Method::from_bytes(method.name().as_bytes()).unwrap_or(Method::POST));
            admit(tools, visit, visitor, &found.endpoint.rules).await?;
        }
        received.page_is_open = match shown_again(&tools.site.endpoints, visit, found) {
            Some(page) => {
                if !page.rules.is_empty() {
                    answer::identify(tools, visitor).await?;
                }
                admission::verdict(&page.rules, &Method::GET, visitor) == Verdict::Allowed
            }
            None => true,
        };
        visit.trace.record("parse", "body", began);
        Ok(received)
    }

    /// The answer that tells of a problem, by the site's own error page where it has one.
    async fn told(
        &self,
        site: &Arc<Site>,
        visit: &mut Visit,
        known: Option<Arc<Visitor>>,
        problem: &Problem,
    ) -> Answer {
        let status = respond::status(&problem.kind);
        visit.wants_json |= parse::prefers_json(&visit.headers);
        if let Some(answer) = admission::login(site, visit, problem) {
            return answer;
        }
        if let Some(answer) = answer::provider::sorry(site, visit, known.as_deref(), problem) {
            return answer;
        }
        let json = visit.wants_json;
        let last_resort = || respond::problem(problem, json);
        if self.app.develop && matches!(problem.kind, Kind::Broken) && !json {
            return answer::error::for_author(problem, status);
        }
        let Ok(tools) = self.tools(site) else { return last_resort() };
        let visitor = known.unwrap_or_else(|| self.visitor(site, visit));
        match answer::error::page(&tools, visit, &visitor, problem, status, json).await {
            Some(answer) => respond::mark(answer, problem),
            None => plain_page(site, visit, problem).unwrap_or_else(last_resort),
        }
    }

    /// The rest of a request that isn't answered at once.
    async fn rest(
        &self,
        site: Arc<Site>,
        mut visit: Box<Visit>,
        begun: Result<Route, Problem>,
        body: Incoming,
    ) -> Reply<respond::Body> {
        let mut visitor = None;
        let outcome = match begun {
            Ok(route) => self.way(&site, &mut visit, route, body, &mut visitor).await,
            Err(problem) => Err(problem),
        };
        let (mut answer, mut problem) = match outcome {
            Ok(answer) => (answer, None),
            Err(problem) => (Box::pin(self.told(&site, &mut visit, visitor, &problem)).await, Some(problem)),
        };
        // What it waits for is awaited last, so that all else is done while the disk is at work.
        let commit = answer.commit.take();
        let mut reply = self.response(&site, &mut visit, answer);
        if let Err(late) = ready(&mut visit, commit, &mut reply.body).await {
            let answer = Box::pin(self.told(&site, &mut visit, None, &late)).await;
            reply = self.response(&site, &mut visit, answer);
            problem = Some(late);
        }
        self.logged(&site, visit, reply, problem)
    }

    /// The same response, of which the log tells once its last byte has gone, or the client has.
    fn logged(
        &self,
        site: &Site,
        visit: Box<Visit>,
        mut reply: Reply<respond::Body>,
        problem: Option<Problem>,
    ) -> Reply<respond::Body> {
        let (log, status, quiet) = (self.app.log.clone(), reply.status, !site.settings.log_requests);
        let (show_steps, problem) = (self.app.show_steps, problem.map(Box::new));
        reply.body.on_end(Box::new(move |sent| {
            if !quiet {
                log.visit(&visit, status, sent, problem.as_deref());
            }
            if show_steps {
                log.note(crate::log::Level::Info, &steps(&visit));
            }
        }));
        reply
    }

    /// The response of an answer, with what every answer carries.
    fn response(&self, site: &Site, visit: &mut Visit, mut answer: Answer) -> Reply<respond::Body> {
        if let Some(cookie) = visit.session_cookie.take() {
            answer.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            answer.headers.append(header::SET_COOKIE, cookie);
        }
        debug_assert!(answer.commit.is_none(), "who makes a response of it awaits it");
        add_headers(site, visit, &mut answer);
        if self.app.develop {
            show_times(visit, &mut answer);
            answer = crate::app::reloading(answer);
        }
        respond::respond(visit, answer, &site.headers)
    }

    fn tools<'a>(&'a self, site: &'a Arc<Site>) -> Result<Tools<'a>, Problem> {
        Ok(Tools {
            site,
            database: self.app.database(),
            uploads: self.app.uploads(),
            shelf: &self.app.shelf,
            hashing: &self.app.hashing,
            providers: &self.app.providers,
            clock: &self.app.clock,
        })
    }

    fn visitor(&self, site: &Site, visit: &Visit) -> Arc<Visitor> {
        let names = [answer::session::cookie_name(visit.secure), answer::flash::cookie_name(visit.secure)];
        let [secret, flash] = parse::cookies(&visit.headers, names);
        let flash = flash.and_then(answer::flash::read);
        Arc::new(Visitor::new(visit, secret, flash, self.app.clock.now(), site.settings.clone()))
    }
}

/// Waits until a response may be sent: what it tells of is committed, and its file is at hand. Which part of a remote file is
/// wanted is known only when all else is made.
async fn ready(visit: &mut Visit, commit: Option<Commit>, body: &mut respond::Body) -> Result<(), Problem> {
    if let Some(commit) = commit {
        let committed = commit.await;
        visit.trace.record_next("database", "commit");
        committed?;
    }
    body.open().await
}

/// How far the beginning of the way has led.
enum Begun {
    /// To the answer.
    Answered(Answer),
    /// To this.
    Led(Route),
}

impl accept::Handler for Server {
    type Body = respond::Body;

    fn handle(
        &self,
        head: Head,
        body: Incoming,
        peer: SocketAddr,
    ) -> Handled<respond::Body, impl Future<Output = Reply<respond::Body>>> {
        let site = self.app.site();
        let (sender, secure) = parse::sender(&head.headers, peer, &site.settings.proxies);
        let mut visit = boxed::boxed(|| Visit::begin(head, sender, secure));
        let begun = match self.begin(&site, &mut visit) {
            Ok(Begun::Answered(answer)) => {
                let reply = self.response(&site, &mut visit, answer);
                return Handled::Now(self.logged(&site, visit, reply, None));
            }
            Ok(Begun::Led(route)) => Ok(route),
            Err(problem) => Err(problem),
        };
        // Its state is large, and what is answered at once should not be moved about in room for it.
        Handled::Later(boxed::pinned(|| self.rest(site, visit, begun, body)))
    }

    async fn ended(&self) {
        if let Some(database) = self.app.database() {
            database.finish().await;
        }
    }

    fn panicked(&self, peer: SocketAddr, what: &str) -> Reply<respond::Body> {
        let parts = Request::new(()).into_parts().0;
        let visit = Visit::begin(parts, peer, false);
        let problem = Problem::broken(format!("a request panicked: {what}"));
        self.app.log.note(crate::log::Level::Error, &problem.to_string());
        respond::respond(&visit, respond::problem(&problem, false), &self.app.site().headers)
    }
}

/// Which of an endpoint's types the visitor wants. Where there is a page alone, that is not asked.
fn wanted(visit: &Visit, found: &Match) -> Option<&'static str> {
    match found.endpoint.data.is_empty() {
        true => None,
        false => parse::preferred(&visit.headers, answer::offers(found)),
    }
}

/// The endpoint whose page shows an action's form again.
fn shown_again<'s>(endpoints: &'s [Arc<Endpoint>], visit: &Visit, found: &Match) -> Option<&'s Arc<Endpoint>> {
    let action = found.endpoint.action(folder::Method::of(visit.method.as_str())?)?;
    endpoints.get(action.page?)
}

/// The page of a plain folder for what is not there (`404.html`).
fn plain_page(site: &Site, visit: &Visit, problem: &Problem) -> Option<Answer> {
    let missing = site.plain && matches!(problem.kind, Kind::NotFound);
    missing.then(|| answer::static_file::not_found(&site.statics, visit)).flatten()
}

/// The lines of `public/_headers` on what is no static file; those have theirs already. What the answer says itself
/// wins, and who may keep it is never the file's to say: a page may be one visitor's alone.
fn add_headers(site: &Site, visit: &Visit, answer: &mut Answer) {
    // What is kept has them from when it was made.
    if matches!(answer.content, Content::Static(_) | Content::Kept(_) | Content::File(_) | Content::Remote(_)) {
        return;
    }
    let lines = site.statics.headers_for(visit.path());
    let own = answer.headers.len();
    for (name, value) in lines {
        if name != header::CACHE_CONTROL && !answer.headers.iter().take(own).any(|(other, _)| *other == name) {
            answer.headers.append(name, value);
        }
    }
}

/// `Server-Timing`, for the author's browser.
fn show_times(visit: &Visit, answer: &mut Answer) {
    if let Ok(value) = HeaderValue::from_str(&visit.trace.server_timing()) {
        answer.headers.insert(HeaderName::from_static("server-timing"), value);
    }
}

/// The steps of a request, for `--trace`: a line each, with a bar.
fn steps(visit: &Visit) -> String {
    let total = visit.trace.elapsed().as_secs_f64().max(1e-9);
    let mut text = format!("{} {}", visit.method, visit.path());
    for step in visit.trace.steps() {
        let (start, took) = (visit.trace.start_of(step).as_secs_f64(), step.took().as_secs_f64());
        let bar = "▇".repeat(((took / total * 30.0).round() as usize).clamp(1, 30));
        let indent = " ".repeat(((start / total * 30.0) as usize).min(30));
        text.push_str(&format!("\n  {:<9} {:>9.3} ms  {indent}{bar} {}", step.name, took * 1000.0, step.detail));
    }
    text
}
