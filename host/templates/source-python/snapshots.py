"""A snapshot is a note of which images there were, `snapshots/UUID/TAG` in the bucket. Its text is the snapshot's token as well.

An image is not kept from being replaced. But a note holds ETags, every range is asked for with `If-Match`, and a store that has another
image by then refuses: what is copied is one export, or the copy fails.
"""

import json
from dataclasses import asdict, dataclass
from typing import List, Optional

from wit_world.exports.source import (
    ChangedPage,
    Changes,
    Changes_Page,
    Changes_Resync,
    ReadablePart,
    ResyncReason,
    SnapshotDisk,
)
from wit_world.imports.bulk import ByteSource
from wit_world.imports.types import Extent, FaultKind

from answers import fault, parsed
from bucket import Bucket
from machines import Image, Machine


@dataclass
class Snapshot:
    uuid: str
    tag: str
    images: List[Image]

    @staticmethod
    def of(machine: Machine, tag: str) -> "Snapshot":
        return Snapshot(machine.uuid, tag, machine.images)

    @staticmethod
    def read(token: str) -> "Snapshot":
        """From a token, which the agent kept."""
        told = parsed(token.encode(), "the token of a snapshot", {"uuid": str, "tag": str, "images": list})
        return Snapshot(told["uuid"], told["tag"], [Image(**image) for image in told["images"]])

    def key(self) -> str:
        return f"snapshots/{self.uuid}/{self.tag}"

    def open(self, bucket: Bucket) -> str:
        """Answers the token. Whoever is second with this tag, perhaps because the first reply was lost, gets the first one's."""
        token = json.dumps(asdict(self))
        if bucket.create(self.key(), token):
            return token
        return self.noted(bucket)

    def close(self, bucket: Bucket) -> None:
        bucket.delete(self.key())

    def noted(self, bucket: Bucket) -> str:
        token = bucket.read(self.key())
        if token is None:
            raise fault(FaultKind.NOT_FOUND, f"The snapshot {self.tag} is gone.")
        return token.decode()

    def disks(self, bucket: Bucket) -> List[SnapshotDisk]:
        self.noted(bucket)
        return [
            SnapshotDisk(
                id=image.disk,
                label=image.key,
                fingerprint=f"{self.uuid}/{image.disk}",
                size=image.size,
                marker=image.etag,
                readable=ReadablePart.WHOLE_DISK,
            )
            for image in self.images
        ]

    def changed(self, disk: str, since: str) -> Changes:
        """The same ETag is the same image. What differs between two images, nobody noted: the agent compares them."""
        image = self.image(disk)
        if image.etag != since:
            return Changes_Resync(ResyncReason("image-replaced", f"{image.key} was exported anew."))
        return Changes_Page(ChangedPage(covers=Extent(0, image.size), extents=[], next=None))

    def range(self, bucket: Bucket, disk: str, offset: int, length: int) -> ByteSource:
        image = self.image(disk)
        if offset + length > image.size:
            raise fault(FaultKind.INVALID, f"{length} bytes from {offset} reach past the {image.size} bytes of {disk}.")
        return bucket.range(image.key, image.etag, Extent(offset, length))

    def image(self, disk: str) -> Image:
        for image in self.images:
            if image.disk == disk:
                return image
        raise fault(FaultKind.NOT_FOUND, f"The snapshot has no disk {disk}.")


def leftovers(bucket: Bucket, machine: Machine, tag_prefix: str) -> List[str]:
    notes = bucket.objects(f"snapshots/{machine.uuid}/{tag_prefix}")
    tokens = [bucket.read(note.key) for note in notes]
    # One that is closed meanwhile is none any more.
    return [token.decode() for token in tokens if token is not None]
