//! A round: all connections ask, whichever has something to read is read, and whose answer is whole asks again.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::Fault;
use crate::answer::{Failure, Said};
use crate::arguments::Arguments;
use crate::connection::{Connection, PATIENCE};
use crate::tally::Tally;

/// What is read at a time: much, and still in the processor's cache when it is written again.
const BUFFER: usize = 256 * 1024;
/// How often somebody looks for connections that are silent.
const LOOK: Duration = Duration::from_millis(500);

/// The connections, and what came of them.
pub struct Round {
    address: SocketAddr,
    request: Vec<u8>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    tally: Tally,
}

impl Round {
    /// Opens all connections.
    pub fn open(arguments: &Arguments) -> Result<Self, Fault> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(waiting_failed)?;
        let address = arguments.address;
        let connections: Result<Vec<_>, _> = (0..arguments.connections).map(|_| Connection::open(address)).collect();
        let round = Self {
            address,
            request: arguments.request.clone(),
            epoll,
            connections: connections?,
            buffer: vec![0; BUFFER],
            tally: Tally::default(),
        };
        for at in 0..round.connections.len() {
            round.watch(at)?;
        }
        Ok(round)
    }

    /// Asks for so long; the line that tells what came of it.
    pub fn run(mut self, length: Duration) -> Result<String, Fault> {
        let started = Instant::now();
        for at in 0..self.connections.len() {
            self.ask(at, Instant::now())?;
        }
        let mut looked = started;
        let mut ready = Vec::with_capacity(self.connections.len());
        while started.elapsed() < length {
            self.wait(&mut ready, LOOK.min(length.saturating_sub(started.elapsed())))?;
            for event in ready.drain(..) {
                self.read(event.data.u64() as usize)?;
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.give_up_silent(looked)?;
            }
        }
        if let Some(failure) = self.tally.first_failure() {
            eprintln!("reader: the first request that failed: {failure}");
        }
        Ok(self.tally.line(started.elapsed()))
    }

    fn wait(&self, ready: &mut Vec<epoll::Event>, most: Duration) -> Result<(), Fault> {
        let most = Timespec::try_from(most).expect("a round is short");
        match epoll::wait(&self.epoll, spare_capacity(ready), Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(cause) => Err(waiting_failed(cause)),
        }
    }

    /// Reads once from a connection. What is left makes it ready again, after the others had their turn.
    fn read(&mut self, at: usize) -> Result<(), Fault> {
        let connection = &mut self.connections[at];
        let came = match connection.read(&mut self.buffer) {
            Ok(0) => return Ok(()),
            Ok(came) => came,
            Err(failure) => return self.fail(at, failure),
        };
        self.tally.bytes += came as u64;
        let now = Instant::now();
        connection.heard = now;
        match connection.answer.take(&self.buffer[..came]) {
            Ok(None) => Ok(()),
            Ok(Some(said)) => self.go_on(at, said, now),
            Err(failure) => self.fail(at, failure),
        }
    }

    /// An answer is whole: counts it and asks again.
    fn go_on(&mut self, at: usize, said: Said, now: Instant) -> Result<(), Fault> {
        self.tally.answered(now - self.connections[at].asked);
        if said.status >= 400 {
            self.tally.failed("its status is 400 or above");
        }
        if said.closes { self.reopen(at) } else { self.ask(at, now) }
    }

    fn ask(&mut self, at: usize, now: Instant) -> Result<(), Fault> {
        match self.connections[at].ask(&self.request, now) {
            Ok(()) => Ok(()),
            Err(failure) => self.fail(at, failure),
        }
    }

    /// Counts a failure and begins again with a new connection: nobody knows what would come on the old one.
    fn fail(&mut self, at: usize, failure: Failure) -> Result<(), Fault> {
        self.tally.failed(failure);
        self.reopen(at)
    }

    fn reopen(&mut self, at: usize) -> Result<(), Fault> {
        self.connections[at] = Connection::open(self.address)?;
        self.watch(at)?;
        let sent = self.connections[at].ask(&self.request, Instant::now());
        sent.map_err(|failure| format!("on a new connection {failure}"))
    }

    fn watch(&self, at: usize) -> Result<(), Fault> {
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &self.connections[at].stream, data, epoll::EventFlags::IN).map_err(waiting_failed)
    }

    fn give_up_silent(&mut self, now: Instant) -> Result<(), Fault> {
        for at in 0..self.connections.len() {
            if now.saturating_duration_since(self.connections[at].heard) > PATIENCE {
                self.fail(at, "nothing came for 5 seconds")?;
            }
        }
        Ok(())
    }
}

fn waiting_failed(cause: rustix::io::Errno) -> Fault {
    format!("waiting for the connections failed: {}", io::Error::from(cause))
}
