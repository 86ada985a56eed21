//! One static file: its bytes in memory while they are current, or the open file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY};
use sha2::{Digest, Sha256};

use super::folder::{Folder, Kind, Stamp, read_whole};
use super::headers::HeaderRules;
use super::{Options, press, types, walk};
use crate::compress::{self, Encoding};
use crate::fields::Fields;
use crate::parcel::Parcel;

/// How old the knowledge may be that a file has not changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Below this size compressing saves no packet.
const PRESS_FROM: usize = 512;

/// What all files of one snapshot share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: Folder,
    pub(super) options: Options,
    pub(super) headers: HeaderRules,
    /// Bytes in memory; shared with the snapshots before and after.
    pub(super) held: Arc<AtomicU64>,
}

impl Shared {
    /// What stands at a relative path on disk now, if it may be served.
    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        let mode = self.options.mode;
        let path = Path::new(name);
        if !walk::allows(mode, path) {
            return None;
        }
        self.folder.kind(path, |real| walk::allows(mode, real))
    }

    fn open(&self, name: &str) -> io::Result<(File, Stamp)> {
        let file = self.folder.file(Path::new(name), |real| walk::allows(self.options.mode, real))?;
        let stamp = Stamp::of(&file)?;
        Ok((file, stamp))
    }
}

/// One static file of the index.
#[derive(Debug)]
pub struct StaticFile {
    shared: Arc<Shared>,
    name: Box<str>,
    address: Box<str>,
    content_type: HeaderValue,
    compresses: bool,
    /// Milliseconds on the process's own clock from which on the disk is asked again.
    look_at: AtomicU64,
    gone: AtomicBool,
    loaded: RwLock<Option<Arc<Loaded>>>,
}

/// The bytes of a small file in memory.
#[derive(Debug)]
pub struct Loaded {
    stamp: Stamp,
    /// The file changed so shortly before it was read that it may have changed again unnoticed.
    young: bool,
    fingerprint: String,
    plain: Arc<Parcel>,
    packed: [OnceLock<Option<Arc<Parcel>>>; 3],
    /// Which encodings were asked for already, as bits.
    asked: AtomicU64,
    compresses: bool,
    held: Held,
}

/// A file that is streamed from disk.
#[derive(Debug)]
pub struct OnDisk {
    /// Open for reading.
    pub file: File,
    /// Its state when it was opened.
    pub stamp: Stamp,
    /// Its encoding: a file compressed beforehand stands for this one.
    pub encoding: Option<Encoding>,
    /// A strong ETag, weak while the file is only just written.
    pub etag: HeaderValue,
    /// All headers of a whole answer but `ETag`, `Content-Length` and `Date`.
    pub headers: Fields,
    /// What names this state in the file's fingerprinted address, whatever the encoding.
    pub version: String,
}

/// What reading a file gives.
#[derive(Debug)]
pub enum Reading {
    /// It is in memory.
    Kept(Arc<Loaded>),
    /// It is too large for the memory.
    Open(Box<OnDisk>),
    /// It is no longer there.
    Gone,
}

/// Counts bytes in memory as long as they are there.
#[derive(Debug)]
struct Held {
    total: Arc<AtomicU64>,
    own: AtomicU64,
}

impl Held {
    /// `None` when the total would pass `limit`.
    fn take(total: &Arc<AtomicU64>, bytes: u64, limit: u64) -> Option<Held> {
        if total.fetch_add(bytes, Relaxed) + bytes > limit {
            total.fetch_sub(bytes, Relaxed);
            return None;
        }
        Some(Held { total: total.clone(), own: AtomicU64::new(bytes) })
    }

    fn add(&self, bytes: u64) {
        self.total.fetch_add(bytes, Relaxed);
        self.own.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.own.load(Relaxed), Relaxed);
    }
}

impl StaticFile {
    /// A file of the index; `known` are its bytes where an older snapshot has them.
    pub(super) fn new(shared: &Arc<Shared>, name: &str, address: &str, known: Option<Arc<Loaded>>) -> StaticFile {
        let content_type = types::content_type_header(name);
        StaticFile {
            shared: shared.clone(),
            name: name.into(),
            address: address.into(),
            compresses: content_type.to_str().is_ok_and(compress::pays),
            content_type,
            look_at: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            // The rules of `_headers` may have changed with the snapshot.
            loaded: RwLock::new(
                known.filter(|loaded| loaded.plain.headers() == shared.plain_headers(loaded, address, name)),
            ),
        }
    }

    /// Its decoded canonical address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its path in the folder.
    pub fn relative(&self) -> &Path {
        Path::new(&*self.name)
    }

    /// Its content type.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// Its bytes, or the open file. `encodings` are those that the client takes, best first; they matter only for
    /// files that are streamed. An error is one of the disk.
    pub fn read(&self, encodings: impl FnOnce() -> Option<Encoding>) -> io::Result<Reading> {
        if let Some(kept) = self.current() {
            return Ok(Reading::Kept(kept));
        }
        match self.reload(encodings) {
            Err(error) if is_absence(&error) => {
                self.gone.store(true, Relaxed);
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(Reading::Gone)
            }
            other => other,
        }
    }

    /// What names this state of the file in its fingerprinted address; `None` when it can't be read.
    pub fn fingerprint(&self) -> Option<String> {
        match self.read(|| None).ok()? {
            Reading::Kept(loaded) => Some(loaded.fingerprint.clone()),
            Reading::Open(open) => Some(version(&open.stamp)),
            Reading::Gone => None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// The bytes in memory if they are those of `stamp`.
    pub(super) fn kept_at(&self, stamp: &Stamp) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().filter(|loaded| loaded.stamp == *stamp && !loaded.young).cloned()
    }

    /// The bytes in memory, if they are known to be current or found to be so by a look at the disk.
    fn current(&self) -> Option<Arc<Loaded>> {
        let kept = self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let now = process_millis();
        let due = self.look_at.load(Relaxed);
        if now < due && !self.shared.options.always_look && !kept.young {
            return Some(kept);
        }
        // One of the cores looks; the others go on with what they have for this moment.
        let next = now + LOOK_EVERY.as_millis() as u64;
        let looks = self.look_at.compare_exchange(due, next, Relaxed, Relaxed).is_ok();
        if !looks && !kept.young && !self.shared.options.always_look {
            return Some(kept);
        }
        let unchanged = !kept.young && self.shared.folder.stamp(self.relative()).is_ok_and(|stamp| stamp == kept.stamp);
        unchanged.then_some(kept)
    }

    /// Reads the file from disk; keeps it if it is small.
    fn reload(&self, encodings: impl FnOnce() -> Option<Encoding>) -> io::Result<Reading> {
        let shared = &self.shared;
        let (file, stamp) = shared.open(&self.name)?;
        self.gone.store(false, Relaxed);
        let limit = if self.compresses { shared.options.keep_text } else { shared.options.keep_file };
        let held =
            (stamp.size <= limit).then(|| Held::take(&shared.held, stamp.size, shared.options.keep_total)).flatten();
        let Some(held) = held else {
            return self.on_disk(file, stamp, encodings()).map(|open| Reading::Open(Box::new(open)));
        };
        let (bytes, stamp) = settled(&file, stamp)?;
        let loaded = Arc::new(self.load(bytes, stamp, held));
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(loaded.clone());
        Ok(Reading::Kept(loaded))
    }

    fn load(&self, bytes: Vec<u8>, stamp: Stamp, held: Held) -> Loaded {
        let fingerprint = hex(&Sha256::digest(&bytes)[..10]);
        let headers = self.shared.headers_of(&self.address, &self.content_type, self.compresses, stamp.seconds());
        let loaded = Loaded {
            young: stamp.is_young(self.shared.options.clock.millis()),
            plain: parcel(bytes, &fingerprint, headers, None),
            fingerprint,
            stamp,
            packed: Default::default(),
            asked: AtomicU64::new(0),
            compresses: self.compresses,
            held,
        };
        self.load_beforehand(&loaded);
        loaded
    }

    /// Takes in `app.css.br` and its like, where they are at least as new as the file itself.
    fn load_beforehand(&self, loaded: &Loaded) {
        for encoding in compress::BY_SIZE.into_iter().filter(|_| self.compresses) {
            let name = format!("{}.{}", self.name, encoding.extension());
            let Ok((file, stamp)) = self.shared.open(&name) else { continue };
            if stamp.changed < loaded.stamp.changed || stamp.size >= loaded.stamp.size {
                continue;
            }
            if let Ok(bytes) = read_whole(&file, stamp.size) {
                loaded.put(encoding, Some(bytes));
            }
        }
    }

    /// The file as it is streamed: itself, or one compressed beforehand.
    fn on_disk(&self, file: File, stamp: Stamp, encoding: Option<Encoding>) -> io::Result<OnDisk> {
        let shared = &self.shared;
        let beforehand = encoding.filter(|_| self.compresses).and_then(|encoding| {
            let (packed, packed_stamp) = shared.open(&format!("{}.{}", self.name, encoding.extension())).ok()?;
            (packed_stamp.changed >= stamp.changed).then_some((packed, packed_stamp, encoding))
        });
        let mut headers = shared.headers_of(&self.address, &self.content_type, self.compresses, stamp.seconds());
        let version_of_plain = version(&stamp);
        let weak = if stamp.is_young(shared.options.clock.millis()) { "W/" } else { "" };
        let (file, stamp, encoding, etag) = match beforehand {
            Some((packed, packed_stamp, encoding)) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
                let etag = format!("{weak}\"{}-{}\"", version(&packed_stamp), encoding.name());
                (packed, packed_stamp, Some(encoding), etag)
            }
            None => (file, stamp, None, format!("{weak}\"{}\"", version(&stamp))),
        };
        let etag = HeaderValue::try_from(etag).map_err(io::Error::other)?;
        Ok(OnDisk { file, stamp, encoding, etag, headers, version: version_of_plain })
    }
}

impl Shared {
    /// The headers of a file that all its forms share.
    fn headers_of(&self, address: &str, kind: &HeaderValue, compresses: bool, modified: Option<u64>) -> Fields {
        let mut headers = Fields::with_capacity(12);
        headers.insert(CONTENT_TYPE, kind.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        for (name, value) in self.options.headers.of_type(kind.as_bytes()) {
            headers.insert(name.clone(), value.clone());
        }
        if compresses {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(value) = modified.and_then(types::http_date) {
            headers.insert(LAST_MODIFIED, value);
        }
        self.headers.apply(address, &mut headers);
        headers
    }

    /// What the headers of bytes taken over from an older snapshot would be in this one.
    fn plain_headers(&self, loaded: &Loaded, address: &str, name: &str) -> Fields {
        let kind = types::content_type_header(name);
        let mut headers = self.headers_of(address, &kind, loaded.compresses, loaded.stamp.seconds());
        headers.insert(ETAG, tag(&loaded.fingerprint, None));
        headers
    }
}

impl Loaded {
    /// The file as it is.
    pub fn plain(&self) -> &Arc<Parcel> {
        &self.plain
    }

    /// A compressed form, if it is there. If it is not, it is made in the background for later visits.
    pub fn packed(self: &Arc<Self>, encoding: Encoding) -> Option<&Arc<Parcel>> {
        if !self.compresses {
            return None;
        }
        match self.packed[encoding.index()].get() {
            Some(parcel) => parcel.as_ref(),
            None => {
                self.ask_for(encoding);
                None
            }
        }
    }

    /// Time of change in seconds since the epoch.
    pub fn modified(&self) -> Option<u64> {
        self.stamp.seconds()
    }

    /// Whether compressed forms of it exist or will.
    pub fn compresses(&self) -> bool {
        self.compresses
    }

    /// What names these bytes in the fingerprinted address `?v=…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Keeps a compressed form; `None` says that there will be none.
    pub(super) fn put(&self, encoding: Encoding, bytes: Option<Vec<u8>>) {
        let packed = bytes.map(|bytes| {
            self.held.add(bytes.len() as u64);
            parcel(bytes, &self.fingerprint, self.plain.headers(), Some(encoding))
        });
        // Where two made the same form, the first stays.
        let _ = self.packed[encoding.index()].set(packed);
    }

    fn ask_for(self: &Arc<Self>, encoding: Encoding) {
        let bit = 1 << encoding.index();
        // Bytes that may change within a second are not worth the work.
        if self.young || self.asked.fetch_or(bit, Relaxed) & bit != 0 {
            return;
        }
        if self.plain.bytes().len() < PRESS_FROM {
            self.put(encoding, None);
        } else if !press::ask(Arc::downgrade(self), encoding) {
            self.asked.fetch_and(!bit, Relaxed);
        }
    }
}

/// One form of a file: as it is, or compressed.
fn parcel(bytes: Vec<u8>, fingerprint: &str, mut headers: Fields, encoding: Option<Encoding>) -> Arc<Parcel> {
    headers.insert(ETAG, tag(fingerprint, encoding));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    Arc::new(Parcel::lasting(bytes, headers))
}

/// The strong ETag of a form.
fn tag(fingerprint: &str, encoding: Option<Encoding>) -> HeaderValue {
    let text = match encoding {
        Some(encoding) => format!("\"{fingerprint}-{}\"", encoding.name()),
        None => format!("\"{fingerprint}\""),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Reads a file until it holds still: the same before and after. One that never does is read as it is; being young, it
/// is read again at the next visit.
fn settled(file: &File, mut stamp: Stamp) -> io::Result<(Vec<u8>, Stamp)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let bytes = read_whole(file, stamp.size);
        let after = Stamp::of(file)?;
        if after == stamp || (attempts > 3 && bytes.is_ok()) {
            return bytes.map(|bytes| (bytes, after));
        }
        if attempts > 10 {
            return Err(io::Error::other("the file does not hold still"));
        }
        stamp = after;
    }
}

/// Names the state of a file whose bytes are not read.
fn version(stamp: &Stamp) -> String {
    format!("{:x}-{:x}", stamp.size, stamp.changed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Errors that mean: there is nothing to be served here (any more).
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    // Opening a link that leads out of the folder fails with EXDEV, a ring of links with ELOOP.
    let leads_out = [rustix::io::Errno::XDEV, rustix::io::Errno::LOOP].map(|errno| Some(errno.raw_os_error()));
    matches!(error.kind(), NotFound | NotADirectory) || leads_out.contains(&error.raw_os_error())
}

/// Milliseconds since the process first asked.
fn process_millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}
