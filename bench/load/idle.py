"""Opens many connections, sends a request on each, holds them; then asks again on each.

Run by `bench/run`: idle.py PORT PATH NUMBER. It prints `open`, waits for a line on its
standard input, asks again, and prints how many were answered.
"""

import resource
import selectors
import socket
import sys

BATCH = 100  # connections that are opened and asked at a time; fewer than any queue of a listener
PATIENCE = 10  # seconds without any answer
SOURCES = [f"127.0.0.{last}" for last in range(2, 10)]  # each has ports of its own


def main() -> None:
    port, path, number = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    connections: list[socket.socket] = []
    while len(connections) < number:
        batch = [connect(port, at) for at in range(min(BATCH, number - len(connections)))]
        if ask(batch, request) != len(batch):
            sys.exit("a connection got no answer")
        connections += batch
    print("open", flush=True)
    sys.stdin.readline()
    batches = [connections[at : at + BATCH] for at in range(0, number, BATCH)]
    print("answered", sum(ask(batch, request) for batch in batches), flush=True)
    sys.stdin.readline()


def connect(port: int, at: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    connection.bind((SOURCES[at % len(SOURCES)], 0))
    connection.connect(("127.0.0.1", port))
    return connection


def ask(batch: list[socket.socket], request: bytes) -> int:
    """Sends a request on each connection and counts those that are answered with 200."""
    answered = 0
    with selectors.DefaultSelector() as waiting:
        for connection in batch:
            try:
                connection.sendall(request)
                waiting.register(connection, selectors.EVENT_READ, bytearray())
            except OSError:
                pass  # closed meanwhile: not answered
        while waiting.get_map():
            ready = waiting.select(PATIENCE)
            if not ready:
                break
            for key, _ in ready:
                try:
                    piece = key.fileobj.recv(1 << 16)
                except OSError:
                    piece = b""
                key.data.extend(piece)
                if not piece or is_whole(key.data):
                    waiting.unregister(key.fileobj)
                    answered += bool(piece) and key.data.split(b" ", 2)[1] == b"200"
    return answered


def is_whole(answer: bytearray) -> bool:
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0])


if __name__ == "__main__":
    main()
