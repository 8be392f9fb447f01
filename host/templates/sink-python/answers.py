"""What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else; the kinds are in
types.wit of the contract."""

from typing import Dict, List, Optional
from xml.etree import ElementTree

from componentize_py_types import Err, Ok, Result
from wit_world.exports.sink import EntriesPage, Entry
from wit_world.imports.types import Fault, FaultKind


def fault(kind: FaultKind, message: str, retry_after_ms: Optional[int] = None) -> Err[Fault]:
    """To be raised, or to stand in a list of results."""
    return Err(Fault(kind, message, retry_after_ms))


def refused(bucket: str, status: int, retry_after: Optional[str], body: bytes, what: str) -> Err[Fault]:
    """An answer that is no success. `what` was being done, such as "create vm/a"."""
    # An answer to HEAD has no document, and a proxy's is none of S3's: then the status has to do.
    try:
        error = ElementTree.fromstring(body)
        code, message = text(error, "Code"), text(error, "Message")
    except ElementTree.ParseError:
        code, message = "", ""
    kind = kind_of(status, code)
    wait = None
    if kind in (FaultKind.THROTTLED, FaultKind.UNAVAILABLE) and retry_after is not None and retry_after.isdecimal():
        wait = min(int(retry_after) * 1000, 0xFFFFFFFF)
    return fault(kind, sentence(status, code, message, bucket, what), wait)


def sentence(status: int, code: str, message: str, bucket: str, what: str) -> str:
    if code == "NoSuchBucket":
        return f"There is no bucket {bucket}: create it, or correct its name in the settings."
    said = f"{code} ({message})" if code else f"status {status}"
    return f"The store did not {what} in bucket {bucket}: {said}."


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


def listed(body: bytes, prefix: str) -> EntriesPage:
    """A page of ListObjectsV2, its keys without the operator's prefix."""
    page = document(body, "ListBucketResult")
    entries = []
    for found in page.iterfind("{*}Contents"):
        key, size = text(found, "Key"), text(found, "Size")
        if not key.startswith(prefix) or not size.isdecimal():
            raise fault(FaultKind.CORRUPT, f"The store listed {key} of {size} bytes, which nobody asked for.")
        entries.append(Entry(key[len(prefix):], int(size)))
    if text(page, "IsTruncated") != "true":
        return EntriesPage(entries, None)
    following = text(page, "NextContinuationToken")
    if not following:
        raise fault(FaultKind.CORRUPT, "The store's list goes on, and it did not say where.")
    return EntriesPage(entries, following)


def deleted(body: bytes, bucket: str, prefix: str, keys: List[str]) -> List[Result[None, Fault]]:
    """One result for each key, in their order. A key that the answer does not name was not deleted."""
    results: Dict[str, Result[None, Fault]] = {}
    for found in document(body, "DeleteResult"):
        code = text(found, "Code")
        if found.tag.endswith("Deleted") or code == "NoSuchKey":
            results[text(found, "Key")] = Ok(None)
        elif found.tag.endswith("Error"):
            status = 403 if code == "AccessDenied" else 500
            told = sentence(status, code, text(found, "Message"), bucket, "delete an object")
            results[text(found, "Key")] = fault(kind_of(status, code), told)
    unsaid = "The store did not say whether it deleted "
    return [results.get(prefix + key) or fault(FaultKind.UNAVAILABLE, f"{unsaid}{key}.") for key in keys]


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
