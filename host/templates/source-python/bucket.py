"""The bucket: the settings, and one request for each function. Keys are given and answered without the operator's prefix."""

import json
import re
from typing import List, Optional
from urllib.parse import quote

from wit_world.imports import config, http
from wit_world.imports.bulk import ByteSource
from wit_world.imports.http import Auth_None_, BodyPart_Bytes, Expectation, Method, Request, Response
from wit_world.imports.types import Extent, FaultKind, Header

from answers import Found, Listing, fault, listed, refused

# Each folder of a page costs requests more, and when one reply is lost, all of the page is asked for again.
FOLDERS_A_PAGE = 1
OBJECTS_MAX = 1000

PLAIN = re.compile(r"[A-Za-z0-9._/-]*")


class Bucket:
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
        # Stands in front of every key, so that the images can share a bucket with others.
        self.prefix = texts[2]
        if not self.bucket or "/" in self.bucket or not PLAIN.fullmatch(self.bucket):
            raise wrong("bucket must be the name of a bucket")
        if not PLAIN.fullmatch(self.prefix):
            raise wrong("prefix may hold letters, digits, '-', '_', '.' and '/'")

    def product(self) -> str:
        return f"Machine images at {self.endpoint}, bucket {self.bucket}"

    def folders(self, folder: str, cursor: Optional[str]) -> Listing:
        """A page of the folders in a folder."""
        query = f"&delimiter=%2F&max-keys={FOLDERS_A_PAGE}"
        if cursor is not None:
            query += "&continuation-token=" + quote(cursor, safe="")
        return self.list(folder, query)

    def objects(self, prefix: str) -> List[Found]:
        """All objects whose key starts so."""
        listing = self.list(prefix, f"&max-keys={OBJECTS_MAX}")
        if listing.next is not None:
            raise fault(FaultKind.UNSUPPORTED, f"More than {OBJECTS_MAX} objects begin with {prefix}.")
        return listing.objects

    def list(self, prefix: str, query: str) -> Listing:
        url = f"{self.url()}?list-type=2&prefix={quote(self.prefix + prefix, safe='')}{query}"
        response = http.send(request(Method.GET, url), [])
        if response.status != 200:
            raise self.refused(response, "list objects")
        return listed(response.body, self.prefix)

    def read(self, key: str) -> Optional[bytes]:
        response = http.send(request(Method.GET, self.object(key)), [])
        if response.status == 404:
            return None
        if response.status != 200:
            raise self.refused(response, f"read {key}")
        return response.body

    def create(self, key: str, text: str) -> bool:
        """False when somebody else did, or a request whose reply was lost: the store decides by If-None-Match who was first."""
        first = [Header("if-none-match", "*")]
        response = http.send(request(Method.PUT, self.object(key), first), [BodyPart_Bytes(text.encode())])
        if response.status == 412:
            return False
        if not 200 <= response.status < 300:
            raise self.refused(response, f"create {key}")
        return True

    def delete(self, key: str) -> None:
        response = http.send(request(Method.DELETE, self.object(key)), [])
        if not 200 <= response.status < 300 and response.status != 404:
            raise self.refused(response, f"delete {key}")

    def range(self, key: str, etag: str, range: Extent) -> ByteSource:
        """Names the request for a part of this very object. The agent sends it later, with its Range header, as often as it likes."""
        same = [Header("if-match", etag)]
        return http.lazy(request(Method.GET, self.object(key), same), Expectation(range))

    def url(self) -> str:
        return f"{self.endpoint}/{self.bucket}"

    def object(self, key: str) -> str:
        return f"{self.url()}/{quote(self.prefix + key)}"

    def refused(self, response: Response, what: str) -> Exception:
        # The agent gives names of headers in lower case.
        retry_after = next((header.value.strip() for header in response.headers if header.name == "retry-after"), None)
        return refused(self.bucket, response.status, retry_after, response.body, what)


def request(method: Method, url: str, headers: List[Header] = []) -> Request:
    return Request(method, url, headers, Auth_None_())


def wrong(why: str) -> Exception:
    return fault(FaultKind.INVALID, f"The settings of this source cannot be used: {why}.")
