"""HTTP/1 as recipients read it: strictly by RFC 9112, and as generously as some do.

The recording backend reads with `strict`. What was forwarded is safe if every generous reader finds the same requests, with
the same beginnings and ends, in the same bytes.
"""

import re

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
START = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Z-]+) ([\x21-\x22\x24-\x7e]+) HTTP/1\.([01])\Z")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*)?\Z")


class Malformed(Exception):
    """These bytes are no message."""


class Request:
    """One request, and where it stood in the bytes."""

    def __init__(self, method, target, version, fields, body, start, end, chunked=False):
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.body = body
        self.start = start
        self.end = end
        self.chunked = chunked
        #: Its place among all requests, for who wants to keep them in order.
        self.number = 0

    def values(self, name):
        return [value for key, value in self.fields if key.lower() == name]


def strict(data, position=0):
    """The request at `position`; None while it is incomplete; Malformed for what RFC 9112 does not allow."""
    head = data.find(b"\r\n\r\n", position)
    if head < 0:
        if data.find(b"\n\n", position) >= 0:
            raise Malformed("bare line feeds")
        return None
    lines = bytes(data[position:head]).split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line:
            raise Malformed("a lone carriage return or line feed")
    start = START.match(lines[0])
    if not start:
        raise Malformed(f"the request line {lines[0][:80]!r}")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise Malformed(f"the field line {line[:80]!r}")
        fields.append((name, value.strip(b" \t")))
    request = Request(start[1], start[2], start[3], fields, b"", position, head + 4)
    lengths = request.values(b"content-length")
    codings = request.values(b"transfer-encoding")
    hosts = request.values(b"host")
    if len(hosts) > 1 or (not hosts and request.version == b"1"):
        raise Malformed("not one Host")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or request.version == b"0":
            raise Malformed("the transfer codings")
        request.chunked = True
        return strict_chunks(data, request)
    if len(lengths) > 1 or (lengths and not re.match(rb"[0-9]{1,18}\Z", lengths[0])):
        raise Malformed("Content-Length")
    length = int(lengths[0]) if lengths else 0
    if len(data) < request.end + length:
        return None
    request.body = bytes(data[request.end:request.end + length])
    request.end += length
    return request


def strict_chunks(data, request):
    position = request.end
    body = []
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return None
        if data[end - 1:end] != b"\r":
            raise Malformed("a chunk's size without CRLF")
        size = SIZE.match(bytes(data[position:end - 1]))
        if not size:
            raise Malformed(f"the chunk size {bytes(data[position:end - 1])[:40]!r}")
        count = int(size[1], 16)
        position = end + 1
        if count == 0:
            break
        if len(data) < position + count + 2:
            return None
        body.append(bytes(data[position:position + count]))
        if bytes(data[position + count:position + count + 2]) != b"\r\n":
            raise Malformed("a chunk without CRLF behind it")
        position += count + 2
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        line = bytes(data[position:end])
        position = end + 2
        if not line:
            break
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise Malformed(f"the trailer {line[:80]!r}")
    request.body = b"".join(body)
    request.end = position
    return request


#: What recipients are known to do that the RFC does not allow: each reader is one combination of these.
GENEROUS = [
    {"prefers": "te"},
    {"prefers": "te", "substring": True},
    {"prefers": "cl", "which": 0},
    {"prefers": "cl", "which": -1},
]


def generous(data, reader):
    """Where the requests in `data` begin and end for a reader that takes almost everything."""
    bounds = []
    position = 0
    while position < len(data):
        begin = position
        match = re.compile(rb"\r?\n[\t ]*\r?\n").search(data, position)
        if not match:
            bounds.append((begin, None))
            break
        head = re.sub(rb"\r?\n[ \t]+", b" ", bytes(data[position:match.start()]))
        position = match.end()
        lengths = []
        chunked = False
        for line in re.split(rb"\r\n|\n|\r", head)[1:]:
            name, _, value = line.partition(b":")
            name = name.strip(b" \t\x0b\x0c\xa0\x85\0").lower().replace(b"_", b"-")
            value = value.strip(b" \t\x0b\x0c\xa0\x85\0")
            if name == b"content-length":
                number = re.match(rb"\+?([0-9]+)", value)
                lengths.append(int(number[1]) if number else 0)
            elif name == b"transfer-encoding":
                coding = value.lower()
                chunked = chunked or (b"chunked" in coding if reader.get("substring") else coding == b"chunked")
        if chunked and (reader["prefers"] == "te" or not lengths):
            position = generous_chunks(data, position)
        elif lengths:
            position += lengths[reader.get("which", 0)]
        if position is None or position > len(data):
            bounds.append((begin, None))
            break
        bounds.append((begin, position))
    return bounds


def generous_chunks(data, position):
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return None
        number = re.match(rb"\s*(?:0x)?([0-9A-Fa-f]*)", bytes(data[position:end]))
        count = int(number[1] or b"0", 16)
        position = end + 1
        if count == 0:
            break
        position += count
        if bytes(data[position:position + 2]) == b"\r\n":
            position += 2
        elif bytes(data[position:position + 1]) == b"\n":
            position += 1
    while True:
        end = data.find(b"\n", position)
        if end < 0:
            return None
        line = bytes(data[position:end]).strip(b"\r")
        position = end + 1
        if not line:
            return position
