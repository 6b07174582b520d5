"""A peer of fatwald by hand: raw control messages, and ZMTP without libzmq for what libzmq never
sends.
"""
import os
import socket
import struct

import zmq

from subscriber import Reader, account_bytes


class Refused(Exception):
    """An ERROR: its code, message, detail and hint."""

    def __init__(self, body):
        reader = Reader(body, 8)
        self.code, self.message, self.detail, self.hint = (
            reader.get('H'),
            reader.str(),
            reader.str(),
            reader.str(),
        )
        super().__init__(f'{self.code}: {self.message} {self.detail} {self.hint}')


class Attached:
    def __init__(self, nonce, body):
        self.nonce = nonce
        self.epoch, self.head, _ = struct.unpack_from('<QQI', body, 8)
        self.history = struct.unpack_from('<QI', body, 28)
        rest = Reader(body, 40)
        self.endpoint, self.topic = rest.str(), rest.bytes()


class Peer:
    """A DEALER on the control socket. `prepare` is called with it before it connects."""

    def __init__(self, control, prepare=None, hold_back=False):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.rcvhwm = 1 if hold_back else 0
        self.socket.rcvtimeo = 20000
        if prepare:
            prepare(self.socket)
        self.socket.connect(control)
        self.id = 0

    def send(self, kind, body=b''):
        self.id += 1
        self.socket.send(b'FW\x01' + bytes([kind]) + struct.pack('<I', self.id) + body)
        return self.id

    def receive(self, wanted):
        """The parts of the reply to this request, passing over others; raises Refused for an
        ERROR.
        """
        while True:
            parts = self.socket.recv_multipart()
            if struct.unpack_from('<I', parts[0], 4)[0] == wanted:
                break
        if parts[0][3] == 255:
            raise Refused(parts[0])
        return parts

    def ask(self, kind, body=b''):
        return self.receive(self.send(kind, body))

    def attach(
        self, account, name=b'peer', durable=False, cursor=0, history=(0, 0), nonce=None, kind=None
    ):
        """`account`: as a person types it, None for the operators, or the bytes of a key of
        `kind`.
        """
        nonce = nonce or os.urandom(16)
        kind, key = (
            (kind, account)
            if kind is not None
            else (0, b'') if account is None else account_bytes(account)
        )
        body = (
            nonce
            + struct.pack('<BB', kind, len(key))
            + key
            + struct.pack('<HH', durable, len(name))
            + name
            + struct.pack('<QQI', cursor, *history)
        )
        return Attached(nonce, self.ask(1, body)[0])

    def detach(self, nonce, forget=False):
        return self.ask(3, nonce + struct.pack('<H', forget))

    def acknowledge(self, nonce, cursor):
        """Sends it; an answer comes only if it is refused, by the id that this gives."""
        return self.send(17, nonce + struct.pack('<Q', cursor))

    def replay(self, attached, cursor, how=0):
        return self.send(
            13,
            attached.nonce
            + struct.pack('<QBQQQII', attached.epoch, how, 1, cursor, *attached.history, 1 << 20),
        )

    def snapshot(self, nonce, number=0, offset=0, credit=1 << 20):
        return self.send(15, nonce + struct.pack('<QQI', number, offset, credit))

    def status(self):
        reader = Reader(self.ask(7)[0], 8)
        return {reader.str(): reader.str() for _ in range(reader.get('H'))}

    def hold_list(self, skip=0):
        """One page of who holds WAL, the worst first, and how many there are in all."""
        reader = Reader(self.ask(22, struct.pack('<I', skip))[0], 8)
        end, total = reader.get('B'), reader.get('I')
        holds = [
            {
                'account': self.account(reader),
                'name': reader.str(),
                'kind': reader.get('B'),
                'from': reader.get('Q'),
                'behind': reader.get('Q'),
                'held_s': reader.get('I'),
                'seconds_left': reader.get('I'),
                'bytes_left': reader.get('Q'),
            }
            for _ in range(reader.get('H'))
        ]
        return holds, total, end

    def subscriber_list(self, after=0):
        """One page of who is attached, and whether it is the last."""
        reader = Reader(self.ask(24, struct.pack('<Q', after))[0], 8)
        end = reader.get('B')
        subscribers = [
            {
                'number': reader.get('Q'),
                'account': self.account(reader),
                'name': reader.str(),
                'credential': reader.str(),
                'state': reader.get('B'),
                'durable': reader.get('B'),
                'lag': reader.get('Q'),
                'unread': reader.get('I'),
                'attached_s': reader.get('I'),
            }
            for _ in range(reader.get('H'))
        ]
        return subscribers, end

    def account_list(self, order=0, skip=0):
        """One page of the accounts, how many there are in all, and whether it is the last."""
        reader = Reader(self.ask(26, struct.pack('<BI', order, skip))[0], 8)
        end, total = reader.get('B'), reader.get('I')
        accounts = [
            {
                'account': self.account(reader),
                'subscribers': reader.get('I'),
                'durables': reader.get('I'),
                'sequence': reader.get('Q'),
                'newest': reader.get('Q'),
                'frames': reader.get('Q'),
                'bytes': reader.get('Q'),
            }
            for _ in range(reader.get('H'))
        ]
        return accounts, total, end

    def event_list(self, after=0):
        """One page of the newest lines of the log, the start of the process, and whether it is the
        last.
        """
        reader = Reader(self.ask(28, struct.pack('<Q', after))[0], 8)
        end, start = reader.get('B'), reader.get('Q')
        events = [
            {
                'number': reader.get('Q'),
                'unix_us': reader.get('q'),
                'level': reader.get('B'),
                'text': reader.str(),
            }
            for _ in range(reader.get('H'))
        ]
        return events, start, end

    @staticmethod
    def account(reader):
        """Its kind and the bytes of its key."""
        kind, length = reader.get('B'), reader.get('B')
        reader.at += length
        return kind, bytes(reader.data[reader.at - length : reader.at])

    def close(self):
        self.socket.close(0)


def lsn(text):
    high, low = text.split('/')
    return int(high, 16) << 32 | int(low, 16)


def frame(body, more=False):
    """A ZMTP frame."""
    if len(body) < 256:
        return bytes([1 if more else 0, len(body)]) + body
    return bytes([3 if more else 2]) + struct.pack('>Q', len(body)) + body


def connect(endpoint, kind=b'SUB'):
    """A connection that has greeted as a socket of this kind (ZMTP 3.0, NULL)."""

    def take(count):
        got = b''
        while len(got) < count:
            part = connection.recv(count - len(got))
            assert part, 'closed'
            got += part
        return got

    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(endpoint[6:])
    connection.sendall(
        b'\xff' + b'\0' * 8 + b'\x7f\x03\x00' + b'NULL' + b'\0' * 16 + b'\0' + b'\0' * 31
    )
    take(64)
    ready = b'\x05READY\x0bSocket-Type' + struct.pack('>I', len(kind)) + kind
    connection.sendall(b'\x04' + bytes([len(ready)]) + ready)
    take(take(2)[1])
    return connection
