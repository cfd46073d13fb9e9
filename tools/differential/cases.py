"""The requests: valid, odd and hostile ones, the same for the same seed.

A case is what one connection sends at once. `must` says what becomes of it at a strict proxy: `reject` (nothing is forwarded),
`body` (what is wrong comes after the head: no whole request is forwarded), `forward` (exactly `count` requests, with their
content) or `either`, where the specifications leave it open.
"""

import dataclasses
import random


@dataclasses.dataclass
class Case:
    name: str
    kind: str
    must: str
    data: bytes
    count: int = 1
    bodies: tuple = ()


def head(method, target, fields, name, version=b"HTTP/1.1", host=b"Host: a.example\r\n"):
    return (method + b" " + target + b" " + version + b"\r\n" + host + b"X-Id: " + name + b"\r\n" + fields + b"\r\n")


def chunks(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Kinds:
    """One method for each kind of request; each returns what `Case` needs behind its name."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def path(self, name):
        parts = [b"items", b"a-b", b"%20x", b"c.d", b"e~f", b"v1", b"x;y=z", b"%C3%A9", b"a:b@c"]
        more = self.random.sample(parts, self.random.randrange(0, 4))
        return b"/" + b"/".join([name] + more)

    def smuggled(self, name):
        """What an attacker would like to reach the backend as a request of its own."""
        return b"GET /%s-smuggled HTTP/1.1\r\nHost: a.example\r\nX-Id: %s\r\n\r\n" % (name, name)

    # Valid.

    def plain(self, name):
        method = self.random.choice([b"GET", b"DELETE", b"OPTIONS", b"HEAD", b"PURGE", b"M-SEARCH"])
        query = self.random.choice([b"", b"?", b"?a=b&c=%2F", b"?a=//../%2e", b"?a?b"])
        return "forward", head(method, self.path(name) + query, b"Accept: */*\r\n", name), 1, (b"",)

    def length(self, name):
        body = self.random.randbytes(self.random.choice([0, 1, 10, 1000, 20000]))
        method = self.random.choice([b"POST", b"PUT", b"PATCH"])
        field = self.random.choice([b"Content-Length: %d\r\n", b"content-length:%d\r\n", b"CONTENT-LENGTH:\t %d \r\n"])
        return "forward", head(method, self.path(name), field % len(body), name) + body, 1, (body,)

    def get_with_content(self, name):
        method = self.random.choice([b"GET", b"DELETE", b"OPTIONS"])
        return "forward", head(method, self.path(name), b"Content-Length: 3\r\n", name) + b"abc", 1, (b"abc",)

    def chunked(self, name):
        parts = [self.random.randbytes(self.random.randrange(1, 300)) for _ in range(self.random.randrange(0, 5))]
        field = self.random.choice([b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:CHUNKED \r\n"])
        return "forward", head(b"POST", self.path(name), field, name) + chunks(*parts), 1, (b"".join(parts),)

    def chunk_extension(self, name):
        extension = self.random.choice([b";a", b";a=b", b';a="b c"', b";a;b=c"])
        data = b"5" + extension + b"\r\nabcde\r\n0\r\n\r\n"
        return "forward", head(b"POST", self.path(name), b"Transfer-Encoding: chunked\r\n", name) + data, 1, (b"abcde",)

    def trailers(self, name):
        data = b"5\r\nabcde\r\n0\r\nX-Checksum: 1\r\n\r\n"
        return "forward", head(b"POST", self.path(name), b"Transfer-Encoding: chunked\r\n", name) + data, 1, (b"abcde",)

    def pipelined(self, name):
        first = head(b"POST", b"/" + name + b"/1", b"Content-Length: 3\r\n", name) + b"abc"
        second = head(b"GET", b"/" + name + b"/2", b"", name)
        return "forward", first + second + first, 3, (b"abc", b"", b"abc")

    def content_that_looks_like_a_request(self, name):
        body = self.smuggled(name)
        if self.random.random() < 0.5:
            return "forward", head(b"POST", self.path(name), b"Content-Length: %d\r\n" % len(body), name) + body, 1, (body,)
        fields = b"Transfer-Encoding: chunked\r\n"
        return "forward", head(b"POST", self.path(name), fields, name) + chunks(body), 1, (body,)

    def hop_by_hop(self, name):
        fields = self.random.choice([
            b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n", b"TE: trailers\r\nConnection: TE\r\n",
            b"Proxy-Connection: keep-alive\r\n", b"Connection: close\r\n", b"Connection: ,close\r\n",
        ])
        return "forward", head(b"GET", self.path(name), fields, name), 1, (b"",)

    def obs_text(self, name):
        return "forward", head(b"GET", self.path(name), b"X-Name: caf\xe9 \xa0\x85\r\n", name), 1, (b"",)

    def expect_continue(self, name):
        return "forward", head(
            b"POST", self.path(name), b"Content-Length: 3\r\nExpect: 100-continue\r\n", name) + b"abc", 1, (b"abc",)

    def http10(self, name):
        fields = self.random.choice([b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n"])
        return "forward", head(b"GET", self.path(name), fields, name, b"HTTP/1.0"), 1, (b"",)

    def http10_without_host(self, name):
        return "forward", head(b"GET", self.path(name), b"", name, b"HTTP/1.0", b""), 1, (b"",)

    def absolute_form(self, name):
        target = self.random.choice([b"http://a.example", b"http://b.example:81", b"HTTP://a.example"])
        return "forward", head(b"GET", target + self.path(name), b"", name), 1, (b"",)

    def host_forms(self, name):
        host = self.random.choice([
            b"a.example:80", b"A.EXAMPLE", b"a.example.", b"127.0.0.1", b"[::1]:80", b"under_score", b"x--y"])
        return "forward", head(b"GET", self.path(name), b"", name, host=b"Host: " + host + b"\r\n"), 1, (b"",)

    def many_fields(self, name):
        fields = b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(self.random.randrange(50, 90)))
        return "forward", head(b"GET", self.path(name), fields, name), 1, (b"",)

    # Odd: allowed or not, recipients differ.

    def empty_line_first(self, name):
        return "either", b"\r\n" + head(b"GET", self.path(name), b"", name), 1, (b"",)

    def odd_path(self, name):
        path = self.random.choice([
            b"/%s/../admin", b"/%s/./a", b"//%s//a", b"/%s/%%2e%%2e/admin", b"/%s\\a", b"/%s/%%2fa", b"/%s/%%5ca",
            b"/%s/..;/admin", b"/%s/;a/b", b"/%s/%%252e%%252e/a", b"/%s/%%61", b"/%s/%%c3%%a9", b"/%s/..", b"/%s/.",
            b"/../%s", b"/%s/a//../b", b"/%s/%%zz", b"/%s/%%", b"/%s/%%2", b"/%s/%%u002f", b"/%s/%%01", b"/%s/%%0d%%0aX:y",
        ])
        return "either", head(b"GET", path % name, b"", name), 1, (b"",)

    def odd_target(self, name):
        target = self.random.choice([b'/%s?a="b"', b"/%s|a", b"/%s{a}", b"/%s^`a", b"/%s<a>", b"/%s?a=[b]", b"/%s?\\"])
        return "either", head(b"GET", target % name, b"", name), 1, (b"",)

    def encoded_nul(self, name):
        return "reject", head(b"GET", b"/" + name + b"/%00", b"", name), 1, (b"",)

    def raw_octets_in_target(self, name):
        target = self.random.choice([b"/%s\xe9", b"/%s?\xc3\xa9", b"/%s\xa0"])
        return "reject", head(b"GET", target % name, b"", name), 1, (b"",)

    def asterisk(self, name):
        return "either", head(b"OPTIONS", b"*", b"", name), 1, (b"",)

    def connect(self, name):
        target = self.random.choice([b"a.example:443", b"127.0.0.1:22", b"a.example", b"/" + name])
        return "reject", head(b"CONNECT", target, b"", name, host=b"Host: " + target + b"\r\n"), 1, (b"",)

    def websocket(self, name):
        """The backend declines the upgrade with 200: nothing but HTTP may follow."""
        fields = (b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
        return "either", head(b"GET", self.path(name), fields, name), 1, (b"",)

    def h2c_upgrade(self, name):
        fields = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        return "either", head(b"GET", self.path(name), fields, name), 1, (b"",)

    def odd_expect(self, name):
        return "either", head(b"GET", self.path(name), b"Expect: a-miracle\r\n", name), 1, (b"",)

    def odd_host(self, name):
        host = self.random.choice([b"a,b", b"a%41", b"a!b", b"*", b"a.example:", b"a.example:00080", b"~"])
        return "either", head(b"GET", self.path(name), b"", name, host=b"Host: " + host + b"\r\n"), 1, (b"",)

    def connection_names_a_field(self, name):
        option = self.random.choice([b"Host", b"Content-Length", b"X-Forwarded-For", b"Cookie", b"Authorization"])
        return "reject", head(b"GET", self.path(name), b"Connection: close, " + option + b"\r\n", name), 1, (b"",)

    def forbidden_trailer(self, name):
        field = self.random.choice([b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: b", b"Authorization: x"])
        data = b"1\r\na\r\n0\r\n" + field + b"\r\n\r\n"
        return "either", head(b"POST", self.path(name), b"Transfer-Encoding: chunked\r\n", name) + data, 1, (b"a",)

    # Hostile.

    def both_lengths(self, name):
        inner = b"0\r\n\r\n" + self.smuggled(name)
        fields = [b"Content-Length: %d\r\n" % self.random.choice([len(inner), 5, 0]), b"Transfer-Encoding: chunked\r\n"]
        self.random.shuffle(fields)
        return "reject", head(b"POST", self.path(name), b"".join(fields), name) + inner, 1, ()

    def several_lengths(self, name):
        fields = self.random.choice([
            b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: 5\r\nContent-Length: 0\r\n",
            b"Content-Length: 5, 5\r\n", b"Content-Length: 5,0\r\n", b"Content-Length: 0\r\ncontent-length: 5\r\n",
        ])
        return "reject", head(b"POST", self.path(name), fields, name) + b"abcde" + self.smuggled(name), 1, ()

    def odd_length(self, name):
        value = self.random.choice([
            b"+5", b"-5", b"0x5", b"5_0", b"5 5", b"", b"5.0", b"5e0", b'"5"', b"\x0b5", b"5\xa0", b"\x855", b"five",
            b"9223372036854775808", b"18446744073709551621", b"99999999999999999999999", b"5;", b"5\x00", b"\xb2",
        ])
        fields = b"Content-Length: " + value + b"\r\n"
        return "reject", head(b"POST", self.path(name), fields, name) + b"abcde" + self.smuggled(name), 1, ()

    def odd_coding(self, name):
        value = self.random.choice([
            b"chunked, chunked", b",chunked", b"chunked,", b"identity", b"gzip", b"gzip, chunked", b"xchunked", b"chunke",
            b"chunked, identity", b"identity, chunked", b'"chunked"', b"chunked;a=b", b"\x0bchunked", b"chunked\x00",
            b"chunked\xa0", b"\x85chunked", b"", b"chunked\x0c", b"chunk\xe9d",
        ])
        fields = b"Transfer-Encoding: " + value + b"\r\n"
        return "reject", head(b"POST", self.path(name), fields, name) + chunks(b"abcde") + self.smuggled(name), 1, ()

    def several_codings(self, name):
        fields = self.random.choice([
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: \r\nTransfer-Encoding: chunked\r\n",
        ])
        return "reject", head(b"POST", self.path(name), fields, name) + chunks(b"abcde"), 1, ()

    def coding_in_http10(self, name):
        fields = b"Transfer-Encoding: chunked\r\n" + self.random.choice([b"", b"Connection: keep-alive\r\n"])
        return "reject", head(b"POST", self.path(name), fields, name, b"HTTP/1.0") + chunks(b"abcde"), 1, ()

    def folded_field(self, name):
        fields = self.random.choice([
            b"X: a\r\n b\r\n", b"X: a\r\n\tb\r\n", b"Transfer-Encoding:\r\n chunked\r\n", b" X: a\r\n", b"X: a\r\n \r\n"])
        return "reject", head(b"POST", self.path(name), fields, name), 1, ()

    def odd_field_name(self, name):
        field = self.random.choice([
            b"Content-Length : 5", b"Transfer-Encoding\t: chunked", b": a", b":", b"X", b"X\x00: a", b"\x00X: a", b"X\xe9: a",
            b"X(a): b", b'"X": a', b"X a: b", b"\xa0X: a", b"X\x85: a", b"Transfer-Encoding\xa0: chunked", b"X/a: b",
            b"X\x0b: a", b"@: a", b"X\x7f: a",
        ])
        return "reject", head(b"POST", self.path(name), field + b"\r\n", name), 1, ()

    def underscore_for_hyphen(self, name):
        field = self.random.choice([
            b"Content_Length: 5", b"transfer_encoding: chunked", b"Transfer_Encoding: chunked", b"X_Forwarded_For: 10.0.0.1"])
        return "reject", head(b"POST", self.path(name), field + b"\r\n", name) + chunks(b"a"), 1, ()

    def odd_field_value(self, name):
        value = self.random.choice([b"a\x00b", b"\x01", b"a\x08", b"a\x0bb", b"a\x0cb", b"a\x1fb", b"a\x7f", b"\x00"])
        return "reject", head(b"GET", self.path(name), b"X: " + value + b"\r\n", name), 1, ()

    def lone_line_feed(self, name):
        data = head(b"GET", self.path(name), b"X: a\r\n", name)
        places = [index for index in range(len(data)) if data[index:index + 1] == b"\r"]
        if self.random.random() < 0.3:
            return "reject", data.replace(b"\r\n", b"\n"), 1, ()
        place = self.random.choice(places)
        return "reject", data[:place] + data[place + 1:], 1, ()

    def lone_carriage_return(self, name):
        data = head(b"GET", self.path(name), b"X: a\r\nY: b\r\n", name)
        places = [index for index in range(len(data) - 2) if data[index:index + 1] == b"\r"]
        place = self.random.choice(places)
        how = self.random.randrange(3)
        if how == 0:
            return "reject", data[:place + 1] + data[place + 2:], 1, ()
        if how == 1:
            return "reject", data[:place] + b"\r" + data[place:], 1, ()
        return "reject", head(b"GET", self.path(name), b"X: a\rTransfer-Encoding: chunked\r\n", name), 1, ()

    def odd_request_line(self, name):
        line = self.random.choice([
            b"get /%s HTTP/1.1", b"Get /%s HTTP/1.1", b"G@T /%s HTTP/1.1", b"GET  /%s HTTP/1.1", b"GET /%s  HTTP/1.1",
            b"GET\t/%s HTTP/1.1", b"GET /%s\tHTTP/1.1", b" GET /%s HTTP/1.1", b"GET /%s HTTP/1.1 ", b"GET /%s", b"/%s HTTP/1.1",
            b"GET /%s a HTTP/1.1", b"GET /%s#a HTTP/1.1", b"GET %s HTTP/1.1", b"G\xe9T /%s HTTP/1.1", b"GET\x00 /%s HTTP/1.1",
            b"GET /%s\x00 HTTP/1.1", b"GET /%s\x7f HTTP/1.1", b"GET /%s\x0b HTTP/1.1", b"GET ?%s HTTP/1.1",
        ])
        data = line % name + b"\r\nHost: a.example\r\nX-Id: " + name + b"\r\n\r\n"
        return "reject", data, 1, ()

    def odd_version(self, name):
        version = self.random.choice([
            b"HTTP/1.10", b"HTTP/0.9", b"HTTP/01.1", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/1", b"HTTP/1.1.1", b"http/1.1",
            b"HTTP/+1.1", b"HTTP/1,1", b"HTP/1.1", b"HTTP/9.9", b"HTTP/1.", b"HTTP/.1", b"HTTP /1.1", b"HTTPS/1.1",
        ])
        return "reject", head(b"GET", self.path(name), b"", name, version), 1, ()

    def odd_chunk(self, name):
        data = self.random.choice([
            b"0x5\r\nabcde\r\n0\r\n\r\n", b"+5\r\nabcde\r\n0\r\n\r\n", b"-5\r\nabcde\r\n0\r\n\r\n", b"5_\r\nabcde\r\n0\r\n\r\n",
            b" 5\r\nabcde\r\n0\r\n\r\n", b"\r\nabcde\r\n0\r\n\r\n", b"g\r\nabcde\r\n0\r\n\r\n", b"5\nabcde\n0\n\n",
            b"10000000000000005\r\nabcde\r\n0\r\n\r\n", b"ffffffffffffffff\r\nabcde\r\n0\r\n\r\n", b"5\rabcde\r\n0\r\n\r\n",
            b"5\r\nabcdefg\r\n0\r\n\r\n", b"5\r\nabcde0\r\n\r\n", b"5\r\nabcde\n0\r\n\r\n", b"5\r\nabcde\r0\r\n\r\n",
            b"5;a\rb\r\nabcde\r\n0\r\n\r\n", b"5;a\nb\r\nabcde\r\n0\r\n\r\n", b"5\x00\r\nabcde\r\n0\r\n\r\n",
            b"5;\x00\r\nabcde\r\n0\r\n\r\n", b"5\xa0\r\nabcde\r\n0\r\n\r\n", b"0\r\n X: a\r\n\r\n", b"0\r\nX : a\r\n\r\n",
            b"0\r\n: a\r\n\r\n", b"0\n\r\n", b"0\r\n\n", b"0\r\nX: a\rb\r\n\r\n", b"0\r\nX\r\n\r\n",
        ])
        data += self.random.choice([b"", self.smuggled(name)])
        return "body", head(b"POST", self.path(name), b"Transfer-Encoding: chunked\r\n", name) + data, 1, ()

    def bad_host(self, name):
        host = self.random.choice([
            b"Host: a.example\r\nHost: b.example\r\n", b"Host: a.example\r\nhost: a.example\r\n", b"", b"Host: a b\r\n",
            b"Host: a/b\r\n", b"Host: u@a\r\n", b"Host: a:x\r\n", b"Host: a:80:80\r\n", b"Host: a:99999\r\n", b"Host: [::1\r\n",
            b"Host: a\xe9\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: a\\b\r\n", b"Host: http://a\r\n", b"Host: ::1\r\n",
            b"Host: <a>\r\n", b"Host: a\tb\r\n", b"Host:\r\n",
        ])
        return "reject", head(b"GET", self.path(name), b"", name, host=host), 1, ()

    def bad_absolute_form(self, name):
        target = self.random.choice([
            b"http://u@a.example/%s", b"http://u:p@a.example/%s", b"ftp://a.example/%s", b"http:///%s", b"http://a b/%s",
            b"http://a:x/%s", b"http:/%s", b"http:%s", b"file:///%s", b"http://a\\b/%s", b"http://a.example/%s#a",
            b"javascript:%s",
        ])
        return "reject", head(b"GET", target % name, b"", name), 1, ()

    def asterisk_without_options(self, name):
        return "reject", head(b"GET", b"*", b"", name), 1, ()

    def too_large(self, name):
        how = self.random.randrange(3)
        if how == 0:
            fields = b"".join(b"X-%d: 1\r\n" % n for n in range(101))
        elif how == 1:
            fields = b"X: " + b"a" * 62_000 + b"\r\n"
        else:
            return "reject", head(b"GET", self.path(name) + b"/" + b"a" * 17_000, b"", name), 1, ()
        return "reject", head(b"GET", self.path(name), fields, name), 1, ()

    def not_http(self, name):
        data = self.random.choice([
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
            b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n\r\n" + head(b"GET", b"/" + name, b"", name), b"EHLO a.example\r\nQUIT\r\n",
            b"\0" * 20, self.random.randbytes(200) + b"\r\n\r\n",
        ])
        return "reject", data, 1, ()

    def mutation(self, name):
        """A valid request with one octet too many, too few or other."""
        data = bytearray(head(
            b"POST", b"/" + name, b"Content-Type: text/plain\r\nContent-Length: 5\r\nCookie: a=b\r\n", name) + b"abcde")
        octets = b"\0\t\n\r !#%,./:;@\\_aA0\x7f\x80\xa0\xff"
        for _ in range(self.random.randrange(1, 3)):
            place = self.random.randrange(len(data) - 5)
            # The name stays what it is, so that what is forwarded is known to belong to the case.
            if name in data[max(0, place - 6):place + 7]:
                continue
            how = self.random.randrange(3)
            if how == 0:
                data[place] = self.random.choice(octets)
            elif how == 1:
                data.insert(place, self.random.choice(octets))
            else:
                del data[place]
        return "either", bytes(data), 1, (b"abcde",)


#: How often a kind comes, if not once.
WEIGHTS = {"plain": 4, "length": 3, "chunked": 3, "mutation": 14, "odd_path": 4, "odd_request_line": 2, "odd_chunk": 3,
           "odd_length": 2, "odd_coding": 2, "odd_field_name": 2}


def generate(seed, count):
    """The cases of a seed. Every kind comes, in proportion to its weight."""
    kinds = Kinds(seed)
    names = [name for name in vars(Kinds) if not name.startswith("_") and name not in ("path", "smuggled")]
    wheel = [name for name in names for _ in range(WEIGHTS.get(name, 1))]
    cases = []
    for number in range(count):
        kind = wheel[number % len(wheel)]
        name = f"q{number:05d}"
        must, data, requests, bodies = getattr(kinds, kind)(name.encode())
        cases.append(Case(name, kind, must, data, requests, bodies))
    return cases
