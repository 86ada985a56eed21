//! Opens the sockets that listen: one for each address and core, so that the kernel spreads connections over the cores.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::problem::Problem;

/// Connections that may wait for a core; the kernel's own limit may be lower.
const QUEUE: i32 = 4096;

/// Sockets that listen.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<SocketAddr>,
    /// For each core a socket of each address.
    cores: Vec<Vec<TcpListener>>,
}

/// Opens the sockets. Port 0 takes a free port, the same on every core.
///
/// A port in use, an address that isn't this machine's, a port that needs rights: one clear problem.
pub fn listen(addresses: &[SocketAddr], cores: usize) -> Result<Listeners, Problem> {
    let mut listeners = Listeners { addresses: Vec::new(), cores: Vec::new() };
    listeners.cores.resize_with(cores.max(1), Vec::new);
    for address in addresses {
        let complain = |error: io::Error| Problem::broken(explain(address, &error));
        let mut bound = *address;
        for (number, core) in listeners.cores.iter_mut().enumerate() {
            let socket = open(bound, number == 0).map_err(complain)?;
            bound = socket.local_addr().map_err(complain)?;
            core.push(socket);
        }
        listeners.addresses.push(bound);
    }
    Ok(listeners)
}

impl Listeners {
    /// The addresses with their real ports, in the order given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(super) fn into_cores(self) -> Vec<Vec<TcpListener>> {
        self.cores
    }
}

/// Sockets that share a port would share it with another server of the same user as well. So the first one takes the
/// port for itself, and shares it only when it has it.
fn open(address: SocketAddr, first: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(!first)?;
    // Linux hands this on to the accepted connections: answers are written whole, waiting for more only delays them.
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if address.ip().is_loopback() {
        // Who comes by this way is on this machine, a proxy mostly: there is no path whose room is to be found out, and to
        // pace what is sent (as BBR does where a system is set to it) costs more than all the rest. Reno is always there.
        let _ = rustix::net::sockopt::set_tcp_congestion(&socket, "reno");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(QUEUE)?;
    Ok(socket.into())
}

fn explain(address: &SocketAddr, error: &io::Error) -> String {
    let (port, host) = (address.port(), address.ip());
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is already in use on {host}; stop the other server or choose another port")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} on {host} needs more rights; choose a port from 1024 on")
        }
        io::ErrorKind::AddrNotAvailable => format!("{host} is not an address of this machine"),
        _ => format!("{address} can't be listened on: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_one_clear_problem() {
        let first = listen(&[([127, 0, 0, 1], 0).into()], 2).unwrap();
        let address = first.addresses()[0];
        assert_ne!(address.port(), 0);
        let problem = listen(&[address], 2).unwrap_err();
        let start = format!("port {} is already in use on 127.0.0.1;", address.port());
        assert!(problem.to_string().starts_with(&start), "{problem}");
        drop(first);
        listen(&[address], 2).unwrap();
    }

    #[test]
    fn connections_are_spread_over_the_cores() {
        let listeners = listen(&[([127, 0, 0, 1], 0).into()], 2).unwrap();
        let address = listeners.addresses()[0];
        let _clients: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for core in listeners.into_cores() {
            // Not one of 64 on this core: once in 2^64 runs.
            assert!(core[0].accept().is_ok());
        }
    }

    #[test]
    fn a_foreign_address_is_one_clear_problem() {
        let problem = listen(&[([192, 0, 2, 1], 3000).into()], 1).unwrap_err();
        assert_eq!(problem.to_string(), "192.0.2.1 is not an address of this machine");
    }
}
