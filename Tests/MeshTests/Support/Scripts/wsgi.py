"""A WSGI application, for gunicorn: /length/N and /chunks/N answer with N bytes, /file/N with a file of as many, all else
with 404. A request's body is read to its end.
"""
import os
import tempfile


def application(environ, start_response):
    body = environ["wsgi.input"]
    while body.read(65536):
        pass
    _, kind, *rest = environ["PATH_INFO"].split("/")
    size = int(rest[0]) if rest else 0
    if kind == "chunks":
        start_response("200 OK", [])
        return (b"y" * min(1000, size - start) for start in range(0, size, 1000))
    if kind == "file":
        file = tempfile.TemporaryFile()
        file.write(b"y" * size)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        start_response("200 OK", [("Content-Length", str(size))])
        return environ["wsgi.file_wrapper"](file)
    status = "200 OK" if kind == "length" else "404 Not Found"
    start_response(status, [("Content-Length", str(size))])
    return [b"y" * size]
