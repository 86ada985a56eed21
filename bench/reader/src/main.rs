//! A load generator for answers that cost little. A number of connections ask for one address again and again, each as
//! soon as its last answer is whole.
//!
//! wrk reads 8 KiB at a time and asks the kernel after each piece how much is left, so that with large answers it
//! is busier than the servers that it measures, and with files of 1 KiB as busy. This one reads as much as there is, up to
//! 256 KiB, and looks at nothing but the head.
//!
//! It prints the line that `load/report.lua` has wrk print, and counts as wrk does: answers of 400 and above are
//! requests and failures, what was under way at the end is neither, and the bytes are all that came, heads too.
//! Latencies are told as they were, where wrk adds what a client with a steady pace would have seen.

mod answer;
mod arguments;
mod connection;
mod round;
mod tally;

use std::process::ExitCode;

use arguments::Arguments;
use round::Round;

/// Why there is no round, for the person who started it.
type Fault = String;

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect();
    match Arguments::parse(arguments).and_then(|arguments| Round::open(&arguments)?.run(arguments.length)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("reader: {fault}");
            ExitCode::FAILURE
        }
    }
}
