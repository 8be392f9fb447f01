"""Machines that were exported as images into a bucket: the requests of S3 over plain HTTP, addressed by path, without signatures.

    machines/NAME/DISK.raw        a raw image; the next export puts another object in its place
    machines/NAME/machine.json    which machine it is; an export deletes it first, and uploads it last
    snapshots/UUID/TAG            what a snapshot holds; written here, and deleted again

    agent -> Source (this file) -> machines.py, snapshots.py -> bucket.py: one request each -> the agent sends it
                                                                  |
                                                     answers.py: statuses and documents as values and faults

The bytes of disks never come in here. `open_range` names the request that fetches them, and hands a handle back.

`wit_world` is the contract in wit/ as Python; componentize-py makes it while it builds. What is imported must be imported at the top:
the component is a snapshot of the interpreter after that.
"""

from typing import List, Optional

from wit_world import exports
from wit_world.exports.source import (
    Changes,
    Closing,
    Description,
    DiskMarker,
    Finding,
    InventoryPage,
    Opened,
    Outcome,
    Outcome_Closed,
    Outcome_Done,
    Outcome_Opened,
    PowerAction,
    Quiesce,
    SnapshotDisk,
    VmPlacement,
    VmRef,
)
from wit_world.imports.bulk import ByteSource
from wit_world.imports.machine import VmDefinition
from wit_world.imports.types import FaultKind

import machines
import snapshots
from answers import fault
from bucket import Bucket
from machines import Machine
from snapshots import Snapshot


class Source(exports.Source):
    """Any call may meet a fresh instance, so each one reads the settings; nothing is kept. No call takes long, so none is ever pending."""

    def describe(self) -> Description:
        bucket = Bucket()
        # Proves that the bucket is there.
        bucket.folders(machines.FOLDER, None)
        return Description(bucket.product(), None)

    def inventory(self, cursor: Optional[str]) -> InventoryPage:
        return machines.inventory(Bucket(), cursor)

    def preflight(self, vm: VmRef) -> List[Finding]:
        return Machine.proven(Bucket(), vm).findings()

    def definition(self, vm: VmRef) -> VmDefinition:
        return Machine.proven(Bucket(), vm).definition()

    def placement(self, vm: VmRef) -> VmPlacement:
        return Machine.proven(Bucket(), vm).placement()

    def enable_tracking(self, vm: VmRef) -> Outcome:
        """The store gives every object an ETag, so it is always on."""
        Machine.proven(Bucket(), vm)
        return Outcome_Done()

    def reset_tracking(self, vm: VmRef) -> Outcome:
        raise fault(FaultKind.UNSUPPORTED, "An image keeps its ETag until it is exported anew.")

    def open_snapshot(self, vm: VmRef, tag: str, quiesce: Quiesce) -> Outcome:
        """Images are at rest. Whether the guest was quiesced when they were made is not known here."""
        bucket = Bucket()
        snapshot = Snapshot.of(Machine.proven(bucket, vm), tag)
        return Outcome_Opened(Opened(snapshot.open(bucket), False))

    def close_snapshot(self, token: str, closing: Closing) -> Outcome:
        """The markers are born with the snapshot, and `disks` gives them."""
        Snapshot.read(token).close(Bucket())
        return Outcome_Closed([])

    def release_markers(self, vm: VmRef, markers: List[DiskMarker]) -> None:
        """Nothing is kept for a marker."""

    def leftovers(self, vm: VmRef, tag_prefix: str) -> List[str]:
        bucket = Bucket()
        return snapshots.leftovers(bucket, Machine.proven(bucket, vm), tag_prefix)

    def disks(self, token: str) -> List[SnapshotDisk]:
        return Snapshot.read(token).disks(Bucket())

    def changed(self, token: str, disk: str, since: str, cursor: Optional[str]) -> Changes:
        return Snapshot.read(token).changed(disk, since)

    def open_range(self, token: str, disk: str, offset: int, length: int) -> ByteSource:
        return Snapshot.read(token).range(Bucket(), disk, offset, length)

    def power(self, vm: VmRef, action: PowerAction) -> Outcome:
        told = "Where this machine runs is not known here: switch it there, and export it once more when it is off."
        raise fault(FaultKind.UNSUPPORTED, told)

    def poll(self, operation: str) -> Outcome:
        raise fault(FaultKind.NOT_FOUND, "Nothing is pending here.")

    def cancel(self, operation: str) -> None:
        """Nothing is pending here."""
