"""What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else; the kinds are in
types.wit of the contract."""

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Optional
from xml.etree import ElementTree

from componentize_py_types import Err
from wit_world.imports.types import Fault, FaultKind


def fault(kind: FaultKind, message: str, retry_after_ms: Optional[int] = None) -> Err[Fault]:
    """To be raised."""
    return Err(Fault(kind, message, retry_after_ms))


def refused(bucket: str, status: int, retry_after: Optional[str], body: bytes, what: str) -> Err[Fault]:
    """An answer that is no success. `what` was being done, such as "read machines/db01/machine.json"."""
    # A proxy's document is none of S3's: then the status has to do.
    try:
        error = ElementTree.fromstring(body)
        code, message = text(error, "Code"), text(error, "Message")
    except ElementTree.ParseError:
        code, message = "", ""
    kind = kind_of(status, code)
    wait = None
    if kind in (FaultKind.THROTTLED, FaultKind.UNAVAILABLE) and retry_after is not None and retry_after.isdecimal():
        wait = min(int(retry_after) * 1000, 0xFFFFFFFF)
    if code == "NoSuchBucket":
        return fault(kind, f"There is no bucket {bucket}: create it, or correct its name in the settings.", wait)
    said = f"{code} ({message})" if code else f"status {status}"
    return fault(kind, f"The store did not {what} in bucket {bucket}: {said}.", wait)


def kind_of(status: int, code: str) -> FaultKind:
    if code in ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull") or status == 507:
        return FaultKind.FULL
    if code == "SlowDown" or status in (429, 503):
        return FaultKind.THROTTLED
    # 409: a rival's request for this key is still under way, and its end decides. Ask again.
    if status in (408, 409) or 500 <= status < 600 and status != 501:
        return FaultKind.UNAVAILABLE
    known = {
        401: FaultKind.AUTH,
        403: FaultKind.DENIED,
        404: FaultKind.NOT_FOUND,
        405: FaultKind.UNSUPPORTED,
        412: FaultKind.CONFLICT,
        501: FaultKind.UNSUPPORTED,
    }
    return known.get(status, FaultKind.INVALID if 300 <= status < 500 else FaultKind.CORRUPT)


@dataclass
class Found:
    """An object in a listing."""

    key: str
    size: int
    # With its quotation marks, as If-Match wants it.
    etag: str


@dataclass
class Listing:
    """A page of ListObjectsV2, its keys without the operator's prefix."""

    objects: List[Found]
    folders: List[str]
    next: Optional[str]


def listed(body: bytes, prefix: str) -> Listing:
    page = document(body, "ListBucketResult")

    def ours(key: str) -> str:
        if not key.startswith(prefix):
            raise fault(FaultKind.CORRUPT, f"The store listed {key}, which nobody asked for.")
        return key[len(prefix):]

    objects = []
    for found in page.iterfind("{*}Contents"):
        key, size = ours(text(found, "Key")), text(found, "Size")
        if not size.isdecimal():
            raise fault(FaultKind.CORRUPT, f"The store listed {key} of {size} bytes.")
        objects.append(Found(key, int(size), text(found, "ETag")))
    folders = [ours(text(found, "Prefix")) for found in page.iterfind("{*}CommonPrefixes")]
    if text(page, "IsTruncated") != "true":
        return Listing(objects, folders, None)
    following = text(page, "NextContinuationToken")
    if not following:
        raise fault(FaultKind.CORRUPT, "The store's list goes on, and it did not say where.")
    return Listing(objects, folders, following)


def document(body: bytes, name: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise fault(FaultKind.CORRUPT, f"The store's answer cannot be read: {error}.")
    if not root.tag.endswith(name):
        raise fault(FaultKind.CORRUPT, f"The store answered with {root.tag} instead of {name}.")
    return root


def text(element: ElementTree.Element, name: str) -> str:
    """The text of a child, whatever namespace the store gives it; empty when there is none."""
    return (element.findtext("{*}" + name) or "").strip()


def parsed(body: bytes, what: str, keys: Dict[str, type]) -> Dict[str, Any]:
    """JSON of ours or of the exporter's, with these keys and no others."""
    try:
        told = json.loads(body)
    except ValueError as error:
        raise fault(FaultKind.CORRUPT, f"{what} cannot be read: {error}.")
    if not isinstance(told, dict) or {key: type(value) for key, value in told.items()} != keys:
        wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
        raise fault(FaultKind.CORRUPT, f"{what} cannot be read: it has not just {wanted}.")
    return told
