//! Stopping.

use std::time::{Duration, Instant};

use tableside::accept;

use super::server::{Server, Wish};

#[test]
fn running_requests_finish_and_resting_connections_close() {
    let server = Server::bare(Wish::default());
    let mut resting = server.connect();
    resting.write("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(resting.reply().status, 404);
    let mut silent = server.connect();
    let mut running = server.connect();
    running.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    assert_eq!(running.reply().text(), "slow");
    assert!(running.is_closed() && resting.is_closed() && silent.is_closed());
    let address = server.address;
    assert_eq!(server.ended().cut, 0);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_half_sent_head_does_not_delay_the_end() {
    let server = Server::bare(Wish::default());
    let mut half = server.connect();
    half.write("GET / HTTP/1.1\r\nHost:");
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    server.stop();
    assert_eq!(server.ended().cut, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_does_not_finish_is_cut_off_and_counted() {
    let wish = Wish {
        connections: accept::Limits { drain: Duration::from_millis(200), ..Default::default() },
        ..Default::default()
    };
    let server = Server::bare(wish);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(200));
    server.stop();
    assert_eq!(server.ended().cut, 3);
}
