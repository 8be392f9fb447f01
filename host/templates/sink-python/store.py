"""The settings, and the six verbs of a sink. Each verb is one request; sink.wit of the contract says what each promises."""

import json
import re
from typing import List, Optional
from urllib.parse import quote

from componentize_py_types import Result
from wit_world.exports.sink import EntriesPage
from wit_world.imports import config, http
from wit_world.imports.bulk import SealedBody
from wit_world.imports.http import Auth_None_, BodyPart_Bytes, Incoming, Method, Request, Response
from wit_world.imports.types import Extent, Fault, FaultKind, Header

from answers import deleted, fault, listed, refused

# What one PUT may carry on most stores that speak this dialect.
OBJECT_BYTES_MAX = 5 << 30

PLAIN = re.compile(r"[A-Za-z0-9._/-]*")


class Store:
    def __init__(self) -> None:
        """What the operator writes under `config`. An unknown key is refused: a typing mistake must not become a default."""
        settings = json.loads(config.json())
        unknown = sorted(settings.keys() - {"endpoint", "bucket", "prefix"})
        if unknown:
            raise wrong(f"unknown key {unknown[0]}")
        texts = [settings.get("endpoint"), settings.get("bucket"), settings.get("prefix", "")]
        if not all(isinstance(text, str) for text in texts):
            raise wrong("endpoint and bucket must be given, as text")
        # "https://store.example.test:9000", without a path.
        self.endpoint = texts[0].rstrip("/")
        self.bucket = texts[1]
        # Stands in front of every key, so that several logs can share a bucket.
        self.prefix = texts[2]
        if not self.bucket or "/" in self.bucket or not PLAIN.fullmatch(self.bucket):
            raise wrong("bucket must be the name of a bucket")
        if not PLAIN.fullmatch(self.prefix):
            raise wrong("prefix may hold letters, digits, '-', '_', '.' and '/'")

    def product(self) -> str:
        return f"Plain object store at {self.endpoint}, bucket {self.bucket}"

    def put(self, key: str, body: SealedBody) -> None:
        """Creates the object. The store decides by If-None-Match who was first; everybody else is told `conflict`."""
        response = http.put(self.request(Method.PUT, self.object(key), [Header("if-none-match", "*")]), body)
        if 200 <= response.status < 300:
            return
        if response.status == 412:
            raise fault(FaultKind.CONFLICT, f"{key} exists already.")
        raise self.refused(response, f"create {key}")

    def get(self, key: str, range: Optional[Extent]) -> Incoming:
        """The object or a part of it. The agent writes the Range header, and reads the body after this call."""
        incoming = http.get(self.request(Method.GET, self.object(key)), range)
        status = incoming.status()
        if status == 200 and range is None:
            return incoming
        if status == 206 and range is not None and incoming.length() == range.length:
            return incoming
        # The response is not handed over, so it is given back here.
        with incoming:
            raise self.wrong_part(key, range, incoming)

    def wrong_part(self, key: str, range: Optional[Extent], incoming: Incoming) -> Exception:
        status = incoming.status()
        length = incoming.length()
        # Stores shorten a part that reaches past the end; the contract wants that refused.
        shortened = status == 206 and range is not None and length is not None and length < range.length
        if range is not None and (shortened or status == 416):
            return fault(FaultKind.INVALID, f"The {range.length} bytes from {range.offset} reach past the end of {key}.")
        if status == 200:
            return fault(FaultKind.UNSUPPORTED, f"The store ignored the range of {key} and sent all of it.")
        if 200 <= status < 300:
            return fault(FaultKind.CORRUPT, f"The store answered get {key} with status {status} and {length} bytes.")
        return refused(self.bucket, status, incoming.header("retry-after"), incoming.fault_body(), f"get {key}")

    def head(self, key: str) -> Optional[int]:
        response = http.send(self.request(Method.HEAD, self.object(key)), [])
        if response.status == 404:
            return None
        if response.status != 200:
            raise self.refused(response, f"look at {key}")
        length = header(response, "content-length")
        if length is None or not length.isdecimal():
            raise fault(FaultKind.CORRUPT, f"The store did not say how long {key} is.")
        return int(length)

    def entries(self, prefix: str, cursor: Optional[str]) -> EntriesPage:
        """One page of ListObjectsV2. The cursor is the store's continuation token."""
        url = f"{self.url()}?list-type=2&max-keys=1000&prefix={self.prefix}{prefix}"
        if cursor is not None:
            url += "&continuation-token=" + quote(cursor, safe="")
        response = http.send(self.request(Method.GET, url), [])
        if response.status != 200:
            raise self.refused(response, "list objects")
        return listed(response.body, self.prefix)

    def delete(self, keys: List[str]) -> List[Result[None, Fault]]:
        """DeleteObjects: up to a thousand keys in one request, and a result for each of them."""
        if not keys:
            return []
        # Nothing in a key or in the prefix needs to be escaped in XML: the contract and the settings see to that.
        objects = "".join(f"<Object><Key>{self.prefix}{key}</Key></Object>" for key in keys)
        body = f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{objects}</Delete>'
        response = http.send(self.request(Method.POST, self.url() + "?delete="), [BodyPart_Bytes(body.encode())])
        if response.status != 200:
            raise self.refused(response, "delete objects")
        return deleted(response.body, self.bucket, self.prefix, keys)

    def url(self) -> str:
        return f"{self.endpoint}/{self.bucket}"

    def object(self, key: str) -> str:
        return f"{self.url()}/{self.prefix}{key}"

    def request(self, method: Method, url: str, headers: List[Header] = []) -> Request:
        return Request(method, url, headers, Auth_None_())

    def refused(self, response: Response, what: str) -> Exception:
        return refused(self.bucket, response.status, header(response, "retry-after"), response.body, what)


def header(response: Response, name: str) -> Optional[str]:
    """The agent gives names of headers in lower case."""
    return next((header.value.strip() for header in response.headers if header.name == name), None)


def wrong(why: str) -> Exception:
    return fault(FaultKind.INVALID, f"The settings of this store cannot be used: {why}.")
