//! The HTTP core over real sockets, byte by byte: a server of static files and a few answers that tests need.

mod files;
mod http2;
mod limits;
mod malformed;
mod server;
mod stopping;
