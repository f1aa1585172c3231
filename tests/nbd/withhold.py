#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An NBD server that says of each read that it succeeded, and leaves out the second half of the bytes: withhold.py --socket=SOCKET.
It offers structured replies, without which that cannot be said. The numbers are those of the NBD protocol (doc/proto.md there)."""
import socket
import struct
import sys

SIZE = 1 << 20
STRUCTURED, GO, DISC, READ = 8, 7, 2, 0
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
DONE, NONE, DATA = 1, 0, 1


def take(peer, count):
    taken = b''
    while len(taken) < count:
        part = peer.recv(count - len(taken))
        if not part:
            raise EOFError
        taken += part
    return taken


def agree(peer):
    peer.sendall(b'NBDMAGICIHAVEOPT' + struct.pack('>H', 3))
    take(peer, 4)
    option = None
    while option != GO:
        _, option, length = struct.unpack('>QII', take(peer, 16))
        take(peer, length)
        answers = {STRUCTURED: [(ACK, b'')], GO: [(INFO, struct.pack('>HQH', 0, SIZE, 3)), (ACK, b'')]}
        for kind, text in answers.get(option, [(UNSUPPORTED, b'')]):
            peer.sendall(struct.pack('>QIII', 0x3e889045565a9, option, kind, len(text)) + text)


def chunk(peer, cookie, flags, kind, text=b''):
    peer.sendall(struct.pack('>IHHQI', 0x668e33ef, flags, kind, cookie, len(text)) + text)


def serve(peer):
    agree(peer)
    while True:
        _, _, command, cookie, offset, length = struct.unpack('>IHHQQI', take(peer, 28))
        if command == DISC:
            return
        if command == READ:
            chunk(peer, cookie, 0, DATA, struct.pack('>Q', offset) + b'x' * (length // 2))
        chunk(peer, cookie, DONE, NONE)


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1].removeprefix('--socket='))
listener.listen()
while True:
    connection, _ = listener.accept()
    try:
        serve(connection)
    except (EOFError, OSError):
        pass
    connection.close()
