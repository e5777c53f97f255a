"""The healthcheck, without an import that takes time."""

import socket
import sys

try:
    with socket.create_connection(("127.0.0.1", 8000), 3) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = link.recv(400).decode()
except OSError as problem:
    sys.exit(f"the shop does not answer: {problem}")
print(answer.splitlines()[0], answer.rpartition("\n")[2])
sys.exit(" 200 " not in answer.splitlines()[0])
