#!/usr/bin/env python3
"""A subscriber in Python, written from docs/wire-format.md and docs/control-protocol.md alone.

subscriber.py CONTROL ACCOUNT COUNT   prints COUNT events as JSON lines, as `fatwal tail` does

With keys: FATWAL_KEY_FILE names the file with its pair, FATWAL_SERVER_KEY is fatwald's public key.
"""
import datetime
import decimal
import ipaddress
import json
import os
import re
import struct
import sys
import uuid

import zmq
import zmq.auth

FIXED = {1, 2, 3, 4, 5, 6, 13, 14, 16, 17, 21, 22, 23}
EPOCH = datetime.datetime(2000, 1, 1)
UNAVAILABLE = object()


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def get(self, form):
        (value,) = struct.unpack_from('<' + form, self.data, self.at)
        self.at += struct.calcsize('<' + form)
        return value

    def bytes(self):
        length = self.get('H')
        self.at += length
        return self.data[self.at - length : self.at]

    def str(self):
        return self.bytes().decode()


class Schema:
    def __init__(self, data):
        self.columns = []
        self.id = struct.unpack_from('<II', data, 4)
        reader = Reader(data, 24)
        self.schema, self.table = reader.str(), reader.str()
        for _ in range(struct.unpack_from('<H', data, 2)[0]):
            code, element, flags, _, _, _, _, _ = struct.unpack_from('<BBBBIIih', data, reader.at)
            reader.at += 18
            name, _ = reader.str(), reader.str()
            labels = {}
            for _ in range(reader.get('H')):
                oid = reader.get('I')
                labels[oid] = reader.str()
            self.columns.append((name, code, element, labels))


def bit(data, at, index):
    return data[at + index // 8] >> (index % 8) & 1


def numeric(data):
    """The numeric as text."""
    (header,) = struct.unpack_from('<H', data)
    if header & 0xC000 == 0xC000:
        return {0xC000: 'NaN', 0xD000: 'Infinity', 0xF000: '-Infinity'}[header]
    if header & 0xC000 == 0x8000:
        negative, scale = header & 0x2000, (header & 0x1F80) >> 7
        weight = (header & 0x3F) - (64 if header & 0x40 else 0)
        digits = data[2:]
    else:
        negative, scale = header & 0xC000 == 0x4000, header & 0x3FFF
        (weight,) = struct.unpack_from('<h', data, 2)
        digits = data[4:]
    digits = struct.unpack(f'<{len(digits) // 2}h', digits)
    with decimal.localcontext() as context:
        context.prec = 150_000  # of a numeric's digits at most
        value = sum(
            digit * decimal.Decimal(10000) ** (weight - i) for i, digit in enumerate(digits)
        )
        return ('-' if negative else '') + format(value, f'.{scale}f')


def jsonb(data):
    """The jsonb as text, as Postgres prints it."""
    (header,) = struct.unpack_from('<I', data)
    count, is_object = header & 0x0FFFFFFF, header & 0x20000000
    entries = 2 * count if is_object else count
    area = 4 + 4 * entries
    values, end = [], 0
    for i in range(entries):
        (entry,) = struct.unpack_from('<I', data, 4 + 4 * i)
        start, end = end, (entry & 0x0FFFFFFF) if entry & 0x80000000 else end + (entry & 0x0FFFFFFF)
        kind = entry & 0x70000000
        if kind in (0x10000000, 0x50000000):
            start = (start + 3) // 4 * 4
        item = data[area + start : area + end]
        if kind == 0:
            values.append(quote(item.decode()))
        elif kind == 0x10000000:
            values.append(numeric(item[1 if item[0] & 1 else 4 :]))
        elif kind == 0x50000000:
            values.append(jsonb(item))
        else:
            values.append({0x20000000: 'false', 0x30000000: 'true', 0x40000000: 'null'}[kind])
    if is_object:
        return '{' + ', '.join(f'{k}: {v}' for k, v in zip(values[:count], values[count:])) + '}'
    return values[0] if header & 0x10000000 else '[' + ', '.join(values) + ']'


# Control characters beyond ASCII, DEL and the line separators: JSON lets them stand, readers of
# lines and terminals obey them.
OBEYED = re.compile('[\x7f-\x9f\u2028\u2029]')


def one_line(text):
    """JSON text on one line."""
    return OBEYED.sub(lambda found: f'\\u{ord(found[0]):04x}', re.sub('[\t\n\r]', ' ', text))


def quote(text):
    return OBEYED.sub(lambda found: f'\\u{ord(found[0]):04x}', json.dumps(text, ensure_ascii=False))


def timestamp(microseconds, zone):
    if microseconds in (-(2**63), 2**63 - 1):
        return 'infinity' if microseconds > 0 else '-infinity'
    days, rest = divmod(microseconds, 86_400_000_000)
    return f'{day(days)}T{time(rest)}{zone}'


def time(microseconds):
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = f'{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}'
    return text + (f'.{fraction:06}'.rstrip('0') if fraction else '')


def date(days):
    if days in (-(2**31), 2**31 - 1):
        return 'infinity' if days > 0 else '-infinity'
    return day(days)


def day(days):
    """The day so many days behind 2000-01-01. The calendar repeats itself after 400 years, of
    which datetime knows some; the year before 1 is 0, as in ISO 8601."""
    periods, days = divmod(days, 146_097)
    value = EPOCH + datetime.timedelta(days=days)
    year = value.year + 400 * periods
    return f'{"-" if year < 0 else ""}{abs(year):04}' + value.strftime('-%m-%d')


def interval(data):
    microseconds, days, months = struct.unpack('<qii', data)

    def parts(*pairs):
        return ''.join(f'{value}{unit}' for value, unit in pairs if value)

    years, months = int(months / 12), months - 12 * int(months / 12)
    sign, rest = ('-' if microseconds < 0 else ''), abs(microseconds)
    seconds, fraction = divmod(rest, 1_000_000)
    second = f'{seconds % 60}' + (f'.{fraction:06}'.rstrip('0') if fraction else '')
    clock = ''.join(
        sign + part
        for part in (f'{seconds // 3600}H', f'{seconds // 60 % 60}M', second + 'S')
        if part.rstrip('HMS').strip('0.')
    )
    return (
        'P' + parts((years, 'Y'), (months, 'M'), (days, 'D')) + ('T' + clock if clock else '')
        if microseconds or days or months or years
        else 'PT0S'
    )


def inet(data, always_bits):
    family, bits = data[0], data[1]
    address = ipaddress.IPv4Address(data[2:]) if family == 4 else ipaddress.IPv6Address(data[2:])
    text = str(address)
    if family == 6 and address.ipv4_mapped:
        text = f'::ffff:{address.ipv4_mapped}'
    return text if bits == address.max_prefixlen and not always_bits else f'{text}/{bits}'


def render(code, element, labels, slot, data):
    """A value as JSON text."""
    (signed,) = struct.unpack('<q', slot)
    (unsigned,) = struct.unpack('<Q', slot)
    if code == 1:
        return 'true' if unsigned else 'false'
    if code in (2, 3, 22):
        return str(signed)
    if code == 4:
        return quote(str(signed))
    if code in (5, 6):
        (value,) = struct.unpack('<f', slot[:4]) if code == 5 else struct.unpack('<d', slot)
        if value != value or abs(value) == float('inf'):
            return quote('NaN' if value != value else 'Infinity' if value > 0 else '-Infinity')
        return next(
            text
            for text in (f'{value:.{p}g}' for p in ((6, 7, 8, 9) if code == 5 else (15, 16, 17)))
            if (
                struct.unpack('<f', struct.pack('<f', float(text)))[0] if code == 5 else float(text)
            )
            == value
        )
    if code == 7:
        return quote(numeric(data))
    if code in (0, 8):
        return quote(data.decode())
    if code == 9:
        return quote('\\x' + data.hex())
    if code == 10:
        return quote(str(uuid.UUID(bytes=bytes(data))))
    if code == 11:
        return one_line(data.decode())
    if code == 12:
        return jsonb(data)
    if code == 13:
        return quote(date(signed))
    if code == 14:
        return quote(time(signed))
    if code == 15:
        microseconds, west = struct.unpack('<qi', data)
        offset = abs(west)
        zone = f'{"+" if west <= 0 else "-"}{offset // 3600:02}:{offset // 60 % 60:02}'
        seconds = f':{offset % 60:02}' if offset % 60 else ''
        return quote(time(microseconds) + zone + seconds)
    if code in (16, 17):
        return quote(timestamp(signed, 'Z' if code == 17 else ''))
    if code == 18:
        return quote(interval(data))
    if code in (19, 20):
        return quote(inet(data, code == 20))
    if code == 21:
        return quote(':'.join(f'{byte:02x}' for byte in slot[:6]))
    if code == 23:
        return quote(labels[unsigned])
    return array(element, labels, data)


def array(element, labels, data):
    dimensions, count = struct.unpack_from('<II', data)
    if dimensions == 0:
        return '[]'
    lengths = [struct.unpack_from('<i', data, 8 + 8 * d)[0] for d in range(dimensions)]
    nulls = 8 + 8 * dimensions
    slots = nulls + 8 * ((count + 63) // 64)
    items = [
        'null' if bit(data, nulls, i) else slot_value(data, slots + 8 * i, element, 0, labels)
        for i in range(count)
    ]
    for length in reversed(lengths):
        items = ['[' + ','.join(items[i : i + length]) + ']' for i in range(0, len(items), length)]
    return items[0]


def slot_value(data, at, code, element, labels):
    slot = data[at : at + 8]
    offset, length = struct.unpack('<II', slot)
    return render(
        code, element, labels, slot, b'' if code in FIXED else data[offset : offset + length]
    )


class Row:
    def __init__(self, data, schema, newer=None):
        self.data, self.schema, self.newer = data, schema, newer
        count, flags = struct.unpack_from('<HB', data, 4)
        size = 8 * ((count + 63) // 64)
        at = 8 + size
        self.unavailable = at if flags & 1 else None
        at += size if flags & 1 else 0
        self.present = at if flags & 2 else None
        at += size if flags & 2 else 0
        self.slots = at

    def value(self, index):
        if self.unavailable is not None and bit(self.data, self.unavailable, index):
            return UNAVAILABLE
        slot = index
        if self.present is not None:
            if not bit(self.data, self.present, index):
                return self.newer.value(index)
            slot = sum(bit(self.data, self.present, i) for i in range(index))
        if bit(self.data, 8, index):
            return 'null'
        _, code, element, labels = self.schema.columns[index]
        return slot_value(self.data, self.slots + 8 * slot, code, element, labels)

    def json(self, name):
        values = [(column[0], self.value(i)) for i, column in enumerate(self.schema.columns)]
        text = (
            f',"{name}":{{'
            + ','.join(f'{quote(c)}:{v}' for c, v in values if v is not UNAVAILABLE)
            + '}'
        )
        missing = [quote(c) for c, v in values if v is UNAVAILABLE]
        return text + (f',"{name}_unavailable":[{",".join(missing)}]' if missing else '')


def account_bytes(text):
    """Kind and bytes of the key that a person types."""
    try:
        if len(text) == 36:
            return 2, uuid.UUID(text).bytes
    except ValueError:
        pass
    try:
        if str(int(text)) == text and -(2**63) <= int(text) < 2**63:
            return 3, struct.pack('<q', int(text))
    except ValueError:
        pass
    return 4, text.encode()


def keys_from_environment():
    """Fatwald's public key, our public and our secret one; nothing without the variables."""
    if 'FATWAL_SERVER_KEY' not in os.environ:
        return None
    return os.environ['FATWAL_SERVER_KEY'].encode(), *zmq.auth.load_certificate(
        os.environ['FATWAL_KEY_FILE']
    )


class Subscriber:
    def __init__(self, control, account):
        self.account = account
        self.context = zmq.Context.instance()
        self.keys = keys_from_environment()
        self.control = self.socket(zmq.DEALER)
        self.control.rcvtimeo = 5000
        self.control.connect(control)
        self.schemas = {}
        self.pending = []
        kind, key = account_bytes(account)
        nonce = os.urandom(16)
        name = b'subscriber.py'
        reply = self.request(
            1,
            nonce
            + struct.pack('<BB', kind, len(key))
            + key
            + struct.pack('<HH', 0, len(name))
            + name
            + struct.pack('<QQI', 0, 0, 0),
        )
        self.epoch, _, _ = struct.unpack_from('<QQI', reply)
        rest = Reader(reply, 32)
        endpoint, self.topic = rest.str(), rest.bytes()
        self.data = self.socket(zmq.DEALER if self.keys else zmq.SUB)
        self.data.rcvhwm = 0
        self.data.rcvtimeo = 20000
        if self.keys:
            self.data.connect(endpoint)
            self.data.send(b'\x01\xff' + nonce)
        else:
            for topic in ([self.topic] if self.topic else [b'E', b'H']) + [b'\xff' + nonce]:
                self.data.subscribe(topic)
            self.data.connect(endpoint)
        while True:
            head, *rest = self.data.recv_multipart()
            if head == b'\xff' + nonce:
                _, _, _, _, epoch, self.sequence, _ = struct.unpack('<BBHIQQQ', rest[0])
                assert epoch == self.epoch
                return

    def socket(self, kind):
        socket = self.context.socket(kind)
        socket.linger = 0
        if self.keys:
            socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = self.keys
        return socket

    def request(self, kind, body):
        self.control.send(b'FW\x01' + bytes([kind]) + struct.pack('<I', 1) + body)
        reply = self.control.recv()
        assert reply[:3] == b'FW\x01' and reply[3] == kind + 1, reply
        return reply[8:]

    def schema(self, name):
        if name not in self.schemas:
            reply = self.request(5, struct.pack('<HII', 1, *name))
            (length,) = struct.unpack_from('<I', reply, 2)
            self.schemas[name] = Schema(reply[6 : 6 + length])
        return self.schemas[name]

    def events(self):
        """The lines of one transaction after the other."""
        lines = []
        while True:
            head, *rest = self.data.recv_multipart()
            head = head[len(self.topic) :]
            _, _, _, _, epoch, sequence, _ = struct.unpack('<BBHIQQQ', head)
            assert epoch == self.epoch
            if head[:1] == b'H':
                assert sequence == self.sequence, 'the tail was lost'
                continue
            assert sequence == self.sequence + 1, f'gap: {self.sequence} {sequence}'
            self.sequence = sequence
            message = rest[0]
            assert message[1] == 1
            if message[:1] == b'S':
                schema = Schema(message)
                self.schemas[schema.id] = schema
                continue
            lines += self.frame(message)
            if struct.unpack_from('<H', message, 2)[0] & 1:
                for i, line in enumerate(lines):
                    yield line.replace(
                        '"last":?', '"last":' + ('true' if i + 1 == len(lines) else 'false'), 1
                    )
                lines = []

    def frame(self, data):
        (
            _,
            _,
            flags,
            xid,
            commit,
            _,
            at,
            length,
            count,
            relations,
            relation_count,
            _,
            account_length,
        ) = struct.unpack_from('<BBHIQQqIIIHBB', data)
        assert length == len(data)
        ids = [struct.unpack_from('<II', data, relations + 8 * i) for i in range(relation_count)]
        where = 48 + (account_length + 7) // 8 * 8
        for _ in range(count):
            size, ordinal, relation, op, bits, old = struct.unpack_from('<IIHBBI', data, where)
            record = data[where : where + size]
            where += size
            line = (
                '{"op":"'
                + {
                    'I': 'insert',
                    'U': 'update',
                    'D': 'delete',
                    'T': 'truncate',
                    'M': 'message',
                    'R': 'resync',
                }[chr(op)]
                + '"'
            )
            schema = None
            if relation != 0xFFFF:
                schema = self.schema(ids[relation])
                line += f',"schema":{quote(schema.schema)},"table":{quote(schema.table)}'
            lsn = f'{commit >> 32:X}/{commit & 0xFFFFFFFF:X}'
            line += f',"account":{quote(self.account)},"xid":{xid},"commit_lsn":"{lsn}"'
            line += f',"ordinal":{ordinal}'
            line += (
                ',"commit_ts":' + ('null' if flags & 4 else quote(timestamp(at, 'Z'))) + ',"last":?'
            )
            line += ',"moved":true' if bits & 1 else ''
            line += ',"unrouted":true' if bits & 32 else ''
            if op == ord('T'):
                line += f',"cascade":{"true" if bits & 2 else "false"}'
                line += f',"restart_identity":{"true" if bits & 4 else "false"}'
            if op == ord('M'):
                prefix_length, content_length = struct.unpack_from('<II', record, 16)
                prefix = record[24 : 24 + prefix_length].decode()
                content = record[24 + prefix_length : 24 + prefix_length + content_length]
                line += f',"topic":{quote(prefix)}' if bits & 8 else f',"prefix":{quote(prefix)}'
                if bits & 16:
                    line += ',"content_unavailable":true'
                elif bits & 8:
                    line += f',"payload":{one_line(content.decode())}'
                else:
                    line += f',"content":{quote(chr(92) + "x" + content.hex())}'
            newer = Row(record[16:], schema) if op in b'IU' else None
            if newer:
                line += newer.json('new')
            if op in b'UD':
                line += Row(record[old:], schema, newer).json('old')
            yield line + '}'


if __name__ == '__main__':
    subscriber = Subscriber(sys.argv[1], sys.argv[2])
    print('attached', file=sys.stderr, flush=True)
    for number, event in enumerate(subscriber.events(), 1):
        print(event, flush=True)
        if number == int(sys.argv[3]):
            break
