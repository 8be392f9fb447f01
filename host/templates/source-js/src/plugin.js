/**
 * Machines that were exported as images into a bucket: the requests of S3 over plain HTTP, addressed by path, without signatures.
 *
 *   machines/NAME/DISK.raw        a raw image; the next export puts another object in its place
 *   machines/NAME/machine.json    which machine it is; an export deletes it first, and uploads it last
 *   snapshots/UUID/TAG            what a snapshot holds; written here, and deleted again
 *
 *   agent -> source (this file) -> machines.js, snapshots.js -> bucket.js: one request each -> the agent sends it
 *                                                                 |
 *                                                    answers.js: statuses and documents as values and faults
 *
 * The bytes of disks never come in here. `openRange` names the request that fetches them, and hands a handle back. Names of the contract
 * in wit/ are written in camelCase, numbers of 64 bits are BigInt, what may be missing is undefined, and a fault is thrown.
 */

import { fault } from "./answers.js";
import { Bucket } from "./bucket.js";
import { FOLDER, Machine, inventory } from "./machines.js";
import { Snapshot, leftovers } from "./snapshots.js";

/** Any call may meet a fresh instance, so each one reads the settings; nothing is kept. No call takes long, so none is ever pending. */
export const source = {
  describe() {
    const bucket = new Bucket();
    // Proves that the bucket is there.
    bucket.folders(FOLDER, undefined);
    return { product: bucket.product(), disksPerHostMax: undefined };
  },
  inventory(cursor) {
    return inventory(new Bucket(), cursor);
  },
  preflight(vm) {
    return Machine.proven(new Bucket(), vm).findings();
  },
  definition(vm) {
    return Machine.proven(new Bucket(), vm).definition();
  },
  placement(vm) {
    return Machine.proven(new Bucket(), vm).placement();
  },
  /** The store gives every object an ETag, so it is always on. */
  enableTracking(vm) {
    Machine.proven(new Bucket(), vm);
    return { tag: "done" };
  },
  resetTracking() {
    throw fault("unsupported", "An image keeps its ETag until it is exported anew.");
  },
  /** Images are at rest. Whether the guest was quiesced when they were made is not known here. */
  openSnapshot(vm, tag) {
    const bucket = new Bucket();
    const snapshot = Snapshot.of(Machine.proven(bucket, vm), tag);
    return { tag: "opened", val: { token: snapshot.open(bucket), quiesced: false } };
  },
  /** The markers are born with the snapshot, and `disks` gives them. */
  closeSnapshot(token) {
    Snapshot.read(token).close(new Bucket());
    return { tag: "closed", val: [] };
  },
  /** Nothing is kept for a marker. */
  releaseMarkers() {},
  leftovers(vm, tagPrefix) {
    const bucket = new Bucket();
    return leftovers(bucket, Machine.proven(bucket, vm), tagPrefix);
  },
  disks(token) {
    return Snapshot.read(token).disks(new Bucket());
  },
  changed(token, disk, since) {
    return Snapshot.read(token).changed(disk, since);
  },
  openRange(token, disk, offset, length) {
    return Snapshot.read(token).range(new Bucket(), disk, offset, length);
  },
  power() {
    throw fault("unsupported", "Where this machine runs is not known here: switch it there, and export it once more when it is off.");
  },
  poll() {
    throw fault("not-found", "Nothing is pending here.");
  },
  cancel() {},
};
