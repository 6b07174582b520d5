"""A TCP proxy before Postgres or fatwald whose connections can be frozen: nothing comes through,
and nothing is closed, as when a cable is cut or a machine is paused. It can also drop them, delay
what they carry, and cap how fast they carry it.
"""
import collections
import socket
import struct
import threading
import time


class Line:
    """One direction of a connection: what goes in comes out `delay_s` later, and not faster than
    `bytes_per_s`. A thread of its own sends, so that the delay holds for each byte but does not add
    up: much may be under way, as on a long cable.
    """

    ROOM = 1 << 20  # bytes under way, at least; a sender then waits, as with a full TCP window

    def __init__(self, proxy, number, sink, from_client):
        self.proxy, self.number, self.sink = proxy, number, sink
        self.from_client = from_client
        self.waiting = collections.deque()  # (when it is due, bytes); no bytes: the end
        self.held = 0  # bytes in it
        self.broken = False  # the sink takes no more
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def send(self, data):
        with self.changed:
            self.changed.wait_for(lambda: self.broken or self.held < self.room())
            if self.broken:
                raise OSError('the sink takes no more')
            self.put(data)

    def room(self):
        """Twice what the path holds at its cap, so that waiting is not what bounds it."""
        return max(self.ROOM, int(2 * self.proxy.delay_s * self.proxy.bytes_per_s))

    def finish(self):
        """Waits until all that went in is out."""
        with self.changed:
            self.put(b'')
        self.thread.join()

    def put(self, data):
        self.waiting.append((time.monotonic() + self.proxy.delay_s, data))
        self.held += len(data)
        self.changed.notify_all()

    def run(self):
        try:
            while data := self.next():
                # Small pieces, so that a slow line is steady and does not stand still for seconds.
                while data:
                    rate = self.proxy.bytes_per_s
                    size = max(1460, rate // 100) if rate else len(data)
                    piece, data = data[:size], data[size:]
                    if rate:
                        time.sleep(len(piece) / rate)
                    self.proxy.wait_while_frozen(self.number, self.from_client)
                    self.sink.sendall(piece)
        except OSError:
            pass
        with self.changed:
            self.broken = True
            self.changed.notify_all()

    def next(self):
        with self.changed:
            self.changed.wait_for(lambda: self.waiting)
            due, data = self.waiting.popleft()
        time.sleep(max(0, due - time.monotonic()))
        with self.changed:
            self.held -= len(data)
            self.changed.notify_all()
        return data


class Proxy:
    """`delay_s` holds for each direction: a round trip takes twice that. `bytes_per_s` holds for
    each direction of each connection. Both may be changed while connections are open. Connecting
    itself is not delayed: the proxy accepts at once.
    """

    def __init__(self, host, port, delay_s=0, bytes_per_s=0, listen='127.0.0.1'):
        self.target = (host, int(port))
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s  # 0: no cap
        self.lock = threading.Condition()
        self.frozen = set()  # numbers of connections
        self.mute = set()  # likewise, but only what the server sends
        self.freeze_new = False
        self.dropped = set()  # likewise: their sockets are reset
        self.drop_new = False
        # (bytes in a startup packet, SQLSTATE, message): answered so, as a pooler does
        self.refused = None
        # (bytes that the client has sent, bytes that it sends): the connection gets no answer from
        # then on, once
        self.unanswered = None
        self.begun = []  # what the client sent first on each connection
        self.ended = []  # directions of each connection that have ended
        self.ends = []  # both sockets of each connection, as far as they are open
        self.listener = socket.socket()
        self.listener.bind((listen, 0))
        self.listener.listen(50)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.drop_new:
                    self.reset(client)
                    client.close()
                    continue
                number = len(self.begun)
                self.begun.append(b'')
                self.ended.append(0)
                self.ends.append(())
                if self.freeze_new:
                    self.frozen.add(number)
            try:
                server = socket.create_connection(self.target)
            except OSError:  # it is being restarted
                client.close()
                continue
            with self.lock:
                self.ends[number] = (client, server)
                if number in self.dropped:  # while it was being connected
                    self.reset(client, server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(
                    target=self.pump, args=(number, source, sink, source is client), daemon=True
                ).start()

    def wait_while_frozen(self, number, from_client):
        with self.lock:
            self.lock.wait_for(
                lambda: number in self.dropped
                or not (number in self.frozen or (number in self.mute and not from_client))
            )

    def pump(self, number, source, sink, from_client):
        line = None  # once there was a delay or a cap, so that the order stays
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.lock.wait_for(lambda: number in self.dropped or number not in self.frozen)
                    if from_client and len(self.begun[number]) < 10000:
                        self.begun[number] += data
                    if (
                        from_client
                        and self.unanswered
                        and self.unanswered[0] in self.begun[number]
                        and self.unanswered[1] in data
                    ):
                        self.unanswered = None
                        self.mute.add(number)
                self.wait_while_frozen(number, from_client)
                if from_client and self.refused and self.refused[0] in data:
                    self.refuse(source)
                    break
                if not line and (self.delay_s or self.bytes_per_s):
                    line = Line(self, number, sink, from_client)
                if line:
                    line.send(data)
                else:
                    sink.sendall(data)
        except OSError:
            pass
        if line:
            line.finish()
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.ended[number] += 1
            if self.ended[number] == 2:
                self.ends[number] = ()
                source.close()
                sink.close()

    def refuse(self, client):
        fields = (
            b''.join(
                code + text.encode() + b'\0'
                for code, text in (
                    (b'S', 'FATAL'),
                    (b'C', self.refused[1]),
                    (b'M', self.refused[2]),
                )
            )
            + b'\0'
        )
        client.sendall(b'E' + struct.pack('>I', len(fields) + 4) + fields)

    def freeze(self, holds=b'', new=True):
        """Freezes the connections whose client has sent these bytes, and, with `new`, all later
        ones.
        """
        with self.lock:
            self.frozen |= {number for number, begun in enumerate(self.begun) if holds in begun}
            self.freeze_new = new
            return len(self.frozen)

    def drop(self, holds=b'', new=False):
        """Resets the connections whose client has sent these bytes, and, with `new`, all later ones
        until thaw().
        """
        with self.lock:
            found = {number for number, begun in enumerate(self.begun) if holds in begun}
            self.dropped |= found
            self.drop_new = new
            for number in found:
                self.reset(*self.ends[number])
            self.lock.notify_all()
            return len(found)

    @staticmethod
    def reset(*ends):
        """Wakes who reads from these sockets, and lets closing them send a reset."""
        for end in ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was quicker
                pass

    def thaw(self, muted=True):
        """Lets everything through again; what was dropped stays so."""
        with self.lock:
            self.frozen.clear()
            self.drop_new = False
            if muted:
                self.mute.clear()
            self.freeze_new = False
            self.lock.notify_all()

    def close(self):
        self.thaw()
        self.listener.close()
