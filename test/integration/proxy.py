"""A TCP proxy before Postgres whose connections can be frozen: nothing comes through, and
nothing is closed, as when a cable is cut or a machine is paused.
"""
import socket
import struct
import threading


class Proxy:
    def __init__(self, host, port):
        self.target = (host, int(port))
        self.lock = threading.Condition()
        self.frozen = set()  # numbers of connections
        self.mute = set()  # likewise, but only what the server sends
        self.freeze_new = False
        # (bytes in a startup packet, SQLSTATE, message): answered so, as a pooler does
        self.refused = None
        # (bytes that the client has sent, bytes that it sends): the connection gets no answer from
        # then on, once
        self.unanswered = None
        self.begun = []  # what the client sent first on each connection
        self.ended = []  # directions of each connection that have ended
        self.listener = socket.socket()
        self.listener.bind(('127.0.0.1', 0))
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
                number = len(self.begun)
                self.begun.append(b'')
                self.ended.append(0)
                if self.freeze_new:
                    self.frozen.add(number)
            try:
                server = socket.create_connection(self.target)
            except OSError:  # it is being restarted
                client.close()
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(
                    target=self.pump, args=(number, source, sink, source is client), daemon=True
                ).start()

    def pump(self, number, source, sink, from_client):
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.lock.wait_for(lambda: number not in self.frozen)
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
                    if not from_client:
                        self.lock.wait_for(lambda: number not in self.mute)
                if from_client and self.refused and self.refused[0] in data:
                    self.refuse(source)
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.lock:
            self.ended[number] += 1
            if self.ended[number] == 2:
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

    def thaw(self, muted=True):
        with self.lock:
            self.frozen.clear()
            if muted:
                self.mute.clear()
            self.freeze_new = False
            self.lock.notify_all()

    def close(self):
        self.thaw()
        self.listener.close()
