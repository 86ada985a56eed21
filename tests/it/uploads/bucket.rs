//! An S3 server with one bucket, in a folder; it can fail in the ways of servers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

/// How requests fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not at all.
    None = 0,
    /// The connection is closed without an answer.
    Down = 1,
    /// No answer ever comes.
    Silent = 2,
    /// The second part of a multipart upload is cut off.
    CutParts = 3,
    /// No answer to the request that makes a multipart upload whole, which is done all the same.
    Unknown = 4,
}

/// The server. Its thread ends with the test process.
pub(super) struct Bucket {
    root: tempfile::TempDir,
    address: SocketAddr,
    fault: Arc<AtomicU8>,
}

impl Bucket {
    /// Starts a server with an empty bucket `pictures`.
    pub(super) fn start() -> Bucket {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("pictures")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("the-name", "the-secret"));
        let service = builder.build();
        let (fault, (sender, receiver)) = (Arc::new(AtomicU8::new(0)), mpsc::channel());
        let fails = fault.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(connection(stream, service.clone(), fails.clone()));
                }
            });
        });
        Bucket { root, address: receiver.recv().unwrap(), fault }
    }

    /// From now on requests fail so.
    pub(super) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// The flags of a server that keeps its uploads here.
    pub(super) fn flags(&self) -> Vec<String> {
        let settings = [
            "uploads.store=s3://pictures/of/cats".into(),
            format!("uploads.endpoint=http://{}", self.address),
            "uploads.access_key=the-name".into(),
            "uploads.secret_key=the-secret".into(),
            "uploads.time=3s".into(),
        ];
        settings.into_iter().flat_map(|setting| ["--set".into(), setting]).collect()
    }

    /// Where the objects are.
    pub(super) fn objects(&self) -> PathBuf {
        self.root.path().join("pictures/of/cats")
    }

    /// The names of the objects that stand there, without marks.
    pub(super) fn names(&self) -> Vec<String> {
        names(&self.objects())
    }

    /// The names of the marks.
    pub(super) fn marks(&self) -> Vec<String> {
        names(&self.objects().join("pending"))
    }

    /// What multipart uploads left behind beside the bucket.
    pub(super) fn parts(&self) -> Vec<String> {
        let parts = names(self.root.path()).into_iter();
        parts.filter(|name| name.starts_with(".upload")).collect()
    }
}

/// The files of a folder that are no book-keeping of the server's.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn connection(stream: tokio::net::TcpStream, service: S3Service, fault: Arc<AtomicU8>) {
    let serve = service_fn(move |request: http::Request<Incoming>| {
        let (service, fault) = (service.clone(), fault.load(Ordering::SeqCst));
        async move {
            let query = request.uri().query().unwrap_or("").to_string();
            let is = |known: Fault| fault == known as u8;
            if is(Fault::Silent) {
                std::future::pending::<()>().await;
            }
            if is(Fault::Down) || is(Fault::CutParts) && query.contains("partNumber=2") {
                return Err(io::Error::other("cut"));
            }
            let completes = request.method() == http::Method::POST && query.starts_with("uploadId=");
            let answer =
                Service::call(&service, request).await.map_err(|error| io::Error::other(format!("{error:?}")))?;
            if is(Fault::Unknown) && completes {
                use http_body_util::BodyExt;
                // The work is done while the answer is read.
                let _ = answer.into_body().collect().await;
                return Err(io::Error::other("cut"));
            }
            Ok(answer)
        }
    });
    // A visitor or a fault may end it at any time.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
}
