//! The log, written to memory.

use http::Request;

use super::*;
use crate::problem::Place;

/// Keeps what is written; blocks as long as `gate` is locked.
#[derive(Clone, Default)]
struct Memory {
    written: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Mutex<()>>,
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        drop(lock(&self.gate));
        lock(&self.written).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(lock(&self.written).clone()).unwrap()
    }
}

fn visit() -> Visit {
    let agent = http::HeaderValue::from_bytes(b"evil\"\t\xff\\agent").unwrap();
    let request = Request::get("/a%0Ab?q=%22").header("user-agent", agent).body(()).unwrap();
    Visit::begin(request.into_parts().0, ([192, 0, 2, 7], 4711).into(), false)
}

fn open(format: Format) -> (Log, Memory) {
    let memory = Memory::default();
    let log = Log::with_clock(format, Box::new(memory.clone()), Clock::fixed(1_700_000_000_123));
    (log, memory)
}

fn log_all(log: &Log) {
    let problem = Problem::broken("no such table:\nusers").at(Place::of_line("pages/a.sql", "select 1", 1));
    log.visit(&visit(), StatusCode::INTERNAL_SERVER_ERROR, Sent { bytes: 17, complete: false }, Some(&problem));
    log.visit(&visit(), StatusCode::NOT_FOUND, Sent { bytes: 5, complete: true }, Some(&Problem::not_found()));
    log.note(Level::Warning, "first\nsecond \u{1b}[31m");
    assert!(log.flush(Duration::from_secs(10)));
}

#[test]
fn text_lines_can_not_be_forged() {
    let (log, memory) = open(Format::Text);
    log_all(&log);
    let text = memory.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("2023-11-14T22:13:20.123Z GET /a%0Ab?q=%22 500 17B "), "{}", lines[0]);
    assert!(lines[0].contains(" 192.0.2.7 \"evil\\\"\\u0009\u{fffd}\\\\agent\" "), "{}", lines[0]);
    assert!(lines[0].ends_with(" cut-off problem=\"no such table:\\u000ausers (pages/a.sql:1:1)\""), "{}", lines[0]);
    assert!(!lines[1].contains("problem"), "{}", lines[1]);
    assert_eq!(lines[2..], ["2023-11-14T22:13:20.123Z warning: first", "  second \\u001b[31m"]);
}

#[test]
fn json_lines_are_json() {
    let (log, memory) = open(Format::Json);
    log_all(&log);
    let lines: Vec<serde_json::Value> = memory.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["agent"], "evil\"\t\u{fffd}\\agent");
    assert_eq!((&lines[0]["status"], &lines[0]["bytes"]), (&500.into(), &17.into()));
    assert_eq!(lines[0]["problem"], "no such table:\nusers (pages/a.sql:1:1)");
    assert_eq!(lines[0]["complete"], false);
    assert_eq!(lines[2]["message"], "first\nsecond \u{1b}[31m");
}

#[test]
fn a_blocked_output_blocks_nobody() {
    let (log, memory) = open(Format::Text);
    let closed = lock(&memory.gate);
    let message = "x".repeat(64 * 1024);
    for _ in 0..1000 {
        log.note(Level::Info, &message);
    }
    assert!(!log.flush(Duration::from_millis(10)));
    drop(closed);
    assert!(log.flush(Duration::from_secs(10)));
    // What was taken in after the writer woke up is written with the next batch.
    assert!(log.flush(Duration::from_secs(10)));
    let text = memory.text();
    let dropped = text.lines().find_map(|line| line.split_once("warning: ")?.1.split_once(" lines were dropped"));
    let dropped: usize = dropped.unwrap().0.parse().unwrap();
    assert_eq!(text.lines().filter(|line| line.ends_with('x')).count() + dropped, 1000);
    assert!(dropped > 0 && text.len() < 3 * FULL);
}

#[test]
fn many_threads_write_whole_lines() {
    let (log, memory) = open(Format::Text);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || (0..500).for_each(|line| log.note(Level::Info, &format!("{thread}-{line}"))))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(log.flush(Duration::from_secs(10)));
    let text = memory.text();
    assert_eq!(text.lines().count(), 4000);
    assert!(text.lines().all(|line| line.starts_with("2023-11-14T22:13:20.123Z info: ") && line.contains('-')));
}
