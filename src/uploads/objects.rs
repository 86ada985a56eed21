//! Uploads in a bucket of an S3-compatible store.
//!
//! A small file is put whole, a large one in parts while it is received; never more than two parts are in memory. Before
//! either, `pending/ID` is put as a mark, with the name of the multipart upload in it; it goes when the row is committed.
//! What a crash left is found by these marks, so that nothing without one is ever removed.
//!
//! All requests run on one thread of their own: a connection that is kept for the next request lives longer than the
//! core that opened it, and what is tidied up after a visitor who hung up needs somebody to do it.

use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetResult, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::is_id;
use crate::problem::{Kind, Problem};

/// The size of all parts but the last. S3 takes 10,000 of at least 5 MiB; some stores want them to be equal.
const PART: usize = 8 * 1024 * 1024;

/// Memory is given out in pieces of this size.
const UNIT: usize = 64 * 1024;

/// How many times a request is tried again within its time.
const TRIES: usize = 3;

/// Pieces of a file that wait for a slow visitor.
const PIECES: usize = 2;

/// Marks that one sweep looks at; the next goes on.
const MOST_MARKS: usize = 100_000;

/// Where a bucket is, and who we are there.
#[derive(Clone, Default)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the names of our objects begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The store's address; empty for Amazon's.
    pub endpoint: String,
    /// The region; empty for `us-east-1`.
    pub region: String,
    /// The key's name; empty to ask the machine for its role.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
    /// What the environment says beside these, as `aws_…` and its value: session tokens, roles.
    pub environment: Vec<(String, String)>,
    /// Bytes of memory for all files that are on their way.
    pub memory: usize,
    /// How long the store may take to answer a request, or to take or give a part.
    pub time: Duration,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "s3://{}/{}", self.name, self.prefix)
    }
}

/// The bucket, and the thread that talks to it.
#[derive(Debug)]
pub(super) struct Objects {
    store: AmazonS3,
    prefix: Path,
    time: Duration,
    runtime: Handle,
    /// The memory that is left for files on their way, in units.
    memory: Arc<Semaphore>,
    /// Requests that nobody waits for.
    tidying: Mutex<JoinSet<()>>,
    /// The thread ends when this is dropped.
    _end: oneshot::Sender<()>,
}

/// A file on its way in. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub(super) struct Half {
    objects: Arc<Objects>,
    id: Arc<str>,
    /// The bytes of the next part.
    gathered: Vec<u8>,
    /// The memory that they take.
    held: Option<OwnedSemaphorePermit>,
    /// The multipart upload, once it was begun.
    upload: Option<Arc<str>>,
    parts: Vec<PartId>,
    /// The part that is on its way while the next is gathered.
    sending: JoinSet<Result<PartId, Problem>>,
    state: State,
}

/// What the store may hold of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Nothing,
    /// Parts, and a mark.
    Begun,
    /// Perhaps the whole file: the request that makes it one is on its way.
    Ending,
    /// The whole file.
    Whole,
}

/// A file that can be read.
#[derive(Debug)]
pub struct Remote {
    objects: Arc<Objects>,
    id: String,
    size: u64,
}

/// A part of a file while it is read.
#[derive(Debug)]
pub struct Pieces {
    coming: mpsc::Receiver<io::Result<Bytes>>,
}

/// What a crash may have left.
#[derive(Debug)]
pub(super) struct LeftOver {
    /// The file that it may be of.
    pub(super) id: Option<String>,
    mark: Path,
}

impl Objects {
    /// Makes ready to talk to a bucket; nothing is sent yet.
    pub(super) fn open(bucket: &Bucket) -> Result<Objects, String> {
        let store = client(bucket).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
        let work = move || {
            // The other end is only ever dropped.
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("uploads".into()).spawn(work).map_err(|error| error.to_string())?;
        Ok(Objects {
            store,
            prefix: Path::from(bucket.prefix.as_str()),
            time: bucket.time,
            runtime: handle,
            // Less than a part would never do.
            memory: Arc::new(Semaphore::new((bucket.memory.max(PART) / UNIT).min(Semaphore::MAX_PERMITS))),
            tidying: Mutex::default(),
            _end: end,
        })
    }

    /// Begins a file.
    pub(super) fn begin(self: &Arc<Objects>, id: &Arc<str>) -> Half {
        Half {
            objects: self.clone(),
            id: id.clone(),
            gathered: Vec::new(),
            held: None,
            upload: None,
            parts: Vec::new(),
            sending: JoinSet::new(),
            state: State::Nothing,
        }
    }

    /// The row of a file is committed.
    pub(super) fn keep(self: &Arc<Objects>, id: &str) {
        let (objects, mark) = (self.clone(), self.mark(id));
        // A mark that stays goes when a later sweep finds it and the row.
        self.tidy(async move { _ = objects.delete(&mark).await });
    }

    /// Removes a file that is whole.
    pub(super) fn remove(self: &Arc<Objects>, id: &str) {
        self.give_up(id, State::Whole);
    }

    /// Removes what there is of a file.
    fn give_up(self: &Arc<Objects>, id: &str, state: State) {
        let (objects, id) = (self.clone(), id.to_string());
        self.tidy(async move {
            if objects.forget(&id, state).await.is_ok() && state != State::Ending {
                let _ = objects.delete(&objects.mark(&id)).await;
            }
        });
    }

    /// A file to be read, of the size that its row says.
    pub(super) fn read(self: &Arc<Objects>, id: &str, size: u64) -> Remote {
        Remote { objects: self.clone(), id: id.into(), size }
    }

    /// Marks older than `before`, in milliseconds since the epoch.
    pub(super) fn left_over(&self, before: i64) -> Result<Vec<LeftOver>, Problem> {
        let store = self.store.clone();
        let folder = self.prefix.clone().join("pending");
        let until = Instant::now() + self.time * 10;
        let list = async move {
            let (mut found, mut marks) = (Vec::new(), store.list(Some(&folder)));
            while found.len() < MOST_MARKS {
                match timeout_at(until, marks.next()).await {
                    Ok(Some(mark)) => found.push(mark?),
                    Ok(None) => break,
                    // What was found so far is swept, the rest the next time.
                    Err(_) => break,
                }
            }
            Ok::<_, Error>(found)
        };
        let found = self.runtime.block_on(list).map_err(|error| told("list what was left", &error))?;
        let old = found.into_iter().filter(|mark| mark.last_modified.timestamp_millis() < before);
        let left_over = |mark: object_store::ObjectMeta| LeftOver {
            id: mark.location.filename().filter(|name| is_id(name)).map(str::to_string),
            mark: mark.location,
        };
        Ok(old.map(left_over).collect())
    }

    /// Removes what was left: the mark alone of a file that has its row.
    pub(super) fn settle(&self, left: &LeftOver, has_row: bool) -> Result<(), Problem> {
        self.runtime.block_on(async {
            if let (Some(id), false) = (&left.id, has_row) {
                self.forget(id, State::Ending).await?;
            }
            self.delete(&left.mark).await
        })
    }

    /// Waits for what is being tidied up.
    pub(super) fn close(&self, limit: Duration) {
        let tidying = std::mem::take(&mut *self.tidying.lock().unwrap_or_else(PoisonError::into_inner));
        // What isn't done by then is swept one day.
        let _ = self.runtime.block_on(async { timeout(limit, tidying.join_all()).await });
    }

    /// Removes what there is of a file but its mark.
    async fn forget(&self, id: &str, state: State) -> Result<(), Problem> {
        // A store may refuse to abort what is complete already; then there is a file to remove.
        if state != State::Whole
            && let Err(problem) = self.abort(id).await
            && problem.kind == Kind::Busy
        {
            return Err(problem);
        }
        self.delete(&self.place(id)).await
    }

    /// Aborts the multipart upload that a mark names.
    async fn abort(&self, id: &str) -> Result<(), Problem> {
        let mark = self.mark(id);
        let read = async { self.store.get(&mark).await?.bytes().await };
        let note = self.within("read a mark", read).await?.unwrap_or_default();
        let upload = String::from_utf8_lossy(&note).into_owned();
        if !upload.is_empty() {
            self.within("abort an upload", self.store.abort_multipart(&self.place(id), &upload)).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &Path) -> Result<(), Problem> {
        self.within("delete", self.store.delete(path)).await.map(|_| ())
    }

    async fn put(&self, path: &Path, bytes: impl Into<PutPayload>) -> Result<(), Problem> {
        there(self.within("put", self.store.put(path, bytes.into())).await).map(|_| ())
    }

    /// Begins a multipart upload and leaves a mark of it; its name.
    async fn begin_parts(&self, id: &str) -> Result<String, Problem> {
        let upload = there(self.within("begin an upload", self.store.create_multipart(&self.place(id))).await)?;
        self.put(&self.mark(id), upload.clone()).await?;
        Ok(upload)
    }

    /// A request that must be done within its time; `None` when what it is about is not there.
    async fn within<T>(&self, what: &str, work: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Problem> {
        match timeout(self.time, work).await {
            Ok(Ok(done)) => Ok(Some(done)),
            Ok(Err(Error::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(told(what, &error)),
            Err(_) => Err(unavailable(what, &format!("no answer within {:?}", self.time))),
        }
    }

    /// Does work on the store's thread and waits for it; it ends when nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let mut task = JoinSet::new();
        task.spawn_on(work, &self.runtime);
        joined(task.join_next().await)
    }

    /// Does work on the store's thread without waiting for it.
    fn tidy(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tidying = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        while tidying.try_join_next().is_some() {}
        tidying.spawn_on(work, &self.runtime);
    }

    fn place(&self, id: &str) -> Path {
        self.prefix.clone().join(id)
    }

    fn mark(&self, id: &str) -> Path {
        self.prefix.clone().join("pending").join(id)
    }
}

impl Half {
    /// Adds a piece.
    pub(super) async fn write(&mut self, mut piece: &[u8]) -> Result<(), Problem> {
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(PART - self.gathered.len()));
            self.grow(now.len()).await?;
            self.gathered.extend_from_slice(now);
            piece = later;
            if self.gathered.len() == PART {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Makes room for more bytes of a part, once there is memory for them.
    async fn grow(&mut self, more: usize) -> Result<(), Problem> {
        let (has, needs) = (self.gathered.capacity(), self.gathered.len() + more);
        if needs <= has {
            return Ok(());
        }
        let room = needs.max(2 * has).next_multiple_of(UNIT).min(PART);
        let units = u32::try_from((room - has).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let memory = self.objects.memory.clone();
        let held = match timeout(self.objects.time, memory.acquire_many_owned(units)).await {
            Ok(Ok(held)) => held,
            Ok(Err(_)) | Err(_) => return Err(unavailable("receive", "there is no memory left (uploads.memory)")),
        };
        match &mut self.held {
            Some(before) => before.merge(held),
            none => *none = Some(held),
        }
        self.gathered.reserve_exact(room - self.gathered.len());
        Ok(())
    }

    /// Makes the file whole. When this ends well, the store has acknowledged it.
    pub(super) async fn finish(mut self) -> Result<(), Problem> {
        let (objects, id) = (self.objects.clone(), self.id.clone());
        let Some(upload) = self.upload.clone() else {
            self.state = State::Ending;
            let (bytes, held) = (std::mem::take(&mut self.gathered), self.held.take());
            let put = async move {
                let _held = held;
                objects.put(&objects.mark(&id), Bytes::new()).await?;
                objects.put(&objects.place(&id), bytes).await
            };
            self.objects.run(put).await?;
            self.state = State::Whole;
            return Ok(());
        };
        if !self.gathered.is_empty() {
            self.send_part().await?;
        }
        self.part_taken().await?;
        self.state = State::Ending;
        let parts = std::mem::take(&mut self.parts);
        let complete = async move {
            let (place, upload) = (objects.place(&id), upload.to_string());
            let whole =
                objects.within("complete an upload", objects.store.complete_multipart(&place, &upload, parts)).await;
            // Whatever went wrong: when it was tried twice, the first may have been heard.
            there(whole).map_err(|problem| unavailable("complete an upload", &problem.to_string()))
        };
        self.objects.run(complete).await?;
        self.state = State::Whole;
        Ok(())
    }

    /// Sends what was gathered as a part, once the part before it is taken.
    async fn send_part(&mut self) -> Result<(), Problem> {
        let upload = self.upload().await?;
        self.part_taken().await?;
        let (objects, id, index) = (self.objects.clone(), self.id.clone(), self.parts.len());
        let (bytes, held) = (PutPayload::from(std::mem::take(&mut self.gathered)), self.held.take());
        let put = async move {
            let _held = held;
            let (place, upload) = (objects.place(&id), upload.to_string());
            there(objects.within("put a part", objects.store.put_part(&place, &upload, index, bytes)).await)
        };
        self.sending.spawn_on(put, &self.objects.runtime);
        Ok(())
    }

    /// Waits for the part that is on its way.
    async fn part_taken(&mut self) -> Result<(), Problem> {
        if let Some(outcome) = self.sending.join_next().await {
            self.parts.push(joined(Some(outcome))?);
        }
        Ok(())
    }

    /// The multipart upload, begun with the first part.
    async fn upload(&mut self) -> Result<Arc<str>, Problem> {
        if let Some(upload) = &self.upload {
            return Ok(upload.clone());
        }
        self.state = State::Begun;
        let (objects, id) = (self.objects.clone(), self.id.clone());
        let upload: Arc<str> = self.objects.run(async move { objects.begin_parts(&id).await }).await?.into();
        self.upload = Some(upload.clone());
        Ok(upload)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if matches!(self.state, State::Begun | State::Ending) {
            self.objects.give_up(&self.id, self.state);
        }
    }
}

impl Remote {
    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Begins to read the bytes `from..to`.
    ///
    /// # Errors
    /// The store doesn't answer, or not with the file that the row tells of.
    pub async fn open(self, from: u64, to: u64) -> Result<Pieces, Problem> {
        let ((opened, outcome), (sender, coming)) = (oneshot::channel(), mpsc::channel(PIECES));
        let runtime = self.objects.runtime.clone();
        runtime.spawn(async move {
            let (result, told) = match self.get(from, to).await {
                Ok(result) => (Some(result), Ok(())),
                Err(problem) => (None, Err(problem)),
            };
            // Whoever waited may have gone.
            if let (Ok(()), Some(result)) = (opened.send(told), result) {
                pass(result, &sender, self.objects.time).await;
            }
        });
        outcome.await.unwrap_or_else(|_| Err(unavailable("get", "its thread ended")))?;
        Ok(Pieces { coming })
    }

    async fn get(&self, from: u64, to: u64) -> Result<GetResult, Problem> {
        let place = self.objects.place(&self.id);
        let options = GetOptions::new().with_range(Some(from..to));
        match self.objects.within("get", self.objects.store.get_opts(&place, options)).await? {
            Some(result) if result.meta.size == self.size => Ok(result),
            Some(result) => {
                Err(Problem::broken(format!("upload {} has {} bytes, not those of its row", self.id, result.meta.size)))
            }
            None => Err(Problem::broken(format!("upload {} has a row but no file", self.id))),
        }
    }
}

impl Pieces {
    /// The next bytes; `None` at the end, which may come too early.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.coming.poll_recv(context)
    }
}

/// Hands on the bytes as fast as the visitor takes them, and stops when he doesn't any more.
async fn pass(result: GetResult, sender: &mpsc::Sender<io::Result<Bytes>>, time: Duration) {
    let mut stream = result.into_stream();
    loop {
        let piece = match timeout(time, stream.next()).await {
            Ok(None) => return,
            Ok(Some(piece)) => piece.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "upload store: a part of a file came too slowly")),
        };
        let broke = piece.is_err();
        if sender.send(piece).await.is_err() || broke {
            return;
        }
    }
}

fn client(bucket: &Bucket) -> Result<AmazonS3, Error> {
    // Each request has its own limit; a large file may take longer than any.
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(bucket.time.min(Duration::from_secs(5)))
        .with_allow_http(bucket.endpoint.starts_with("http://"));
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: TRIES, retry_timeout: bucket.time };
    let mut builder = AmazonS3Builder::new().with_client_options(options);
    for (name, value) in &bucket.environment {
        if let Ok(key) = AmazonS3ConfigKey::from_str(name) {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(&bucket.name).with_retry(retry);
    let own = [
        (AmazonS3ConfigKey::Endpoint, &bucket.endpoint),
        (AmazonS3ConfigKey::Region, &bucket.region),
        (AmazonS3ConfigKey::AccessKeyId, &bucket.access_key),
        (AmazonS3ConfigKey::SecretAccessKey, &bucket.secret_key),
    ];
    own.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .fold(builder, |builder, (key, value)| builder.with_config(key, value))
        .build()
}

/// Where nothing may be missing, the bucket itself is.
fn there<T>(outcome: Result<Option<T>, Problem>) -> Result<T, Problem> {
    outcome?.ok_or_else(|| Problem::broken("upload store: there is no such bucket, or an upload was aborted"))
}

fn joined<T>(outcome: Option<Result<Result<T, Problem>, tokio::task::JoinError>>) -> Result<T, Problem> {
    match outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Problem::broken(format!("upload store: {error}"))),
        None => Err(Problem::broken("upload store: a request was lost")),
    }
}

fn told(what: &str, error: &Error) -> Problem {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            Problem::broken(format!("upload store: {what}: {error}"))
        }
        _ => unavailable(what, &error.to_string()),
    }
}

fn unavailable(what: &str, cause: &str) -> Problem {
    Problem::new(Kind::Busy, "Files can't be reached right now. Please try again in a moment.")
        .caused_by(format!("upload store: {what}: {cause}"))
}
