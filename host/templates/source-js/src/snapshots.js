/**
 * A snapshot is a note of which images there were, `snapshots/UUID/TAG` in the bucket. Its text is the snapshot's token as well.
 *
 * An image is not kept from being replaced. But a note holds ETags, every range is asked for with `If-Match`, and a store that has another
 * image by then refuses: what is copied is one export, or the copy fails.
 */

import { fault, parsed } from "./answers.js";

export class Snapshot {
  constructor(uuid, tag, images) {
    this.uuid = uuid;
    this.tag = tag;
    this.images = images;
  }

  static of(machine, tag) {
    return new Snapshot(machine.uuid, tag, machine.images);
  }

  /** From a token, which the agent kept. */
  static read(token) {
    const told = parsed(token, "the token of a snapshot", { uuid: "string", tag: "string", images: "object" });
    return new Snapshot(told.uuid, told.tag, told.images);
  }

  key() {
    return `snapshots/${this.uuid}/${this.tag}`;
  }

  /** Answers the token. Whoever is second with this tag, perhaps because the first reply was lost, gets the first one's. */
  open(bucket) {
    const token = JSON.stringify(this);
    return bucket.create(this.key(), token) ? token : this.noted(bucket);
  }

  close(bucket) {
    bucket.delete(this.key());
  }

  noted(bucket) {
    const token = bucket.read(this.key());
    if (token === undefined) {
      throw fault("not-found", `The snapshot ${this.tag} is gone.`);
    }
    return token;
  }

  disks(bucket) {
    this.noted(bucket);
    return this.images.map(({ disk, key, size, etag }) => ({
      id: disk,
      label: key,
      fingerprint: `${this.uuid}/${disk}`,
      size: BigInt(size),
      marker: etag,
      readable: "whole-disk",
    }));
  }

  /** The same ETag is the same image. What differs between two images, nobody noted: the agent compares them. */
  changed(disk, since) {
    const { key, size, etag } = this.image(disk);
    if (etag !== since) {
      return { tag: "resync", val: { code: "image-replaced", message: `${key} was exported anew.` } };
    }
    return { tag: "page", val: { covers: { offset: 0n, length: BigInt(size) }, extents: [], next: undefined } };
  }

  range(bucket, disk, offset, length) {
    const { key, size, etag } = this.image(disk);
    if (offset + length > BigInt(size)) {
      throw fault("invalid", `${length} bytes from ${offset} reach past the ${size} bytes of ${disk}.`);
    }
    return bucket.range(key, etag, { offset, length });
  }

  image(disk) {
    const found = this.images.find((image) => image.disk === disk);
    if (found === undefined) {
      throw fault("not-found", `The snapshot has no disk ${disk}.`);
    }
    return found;
  }
}

export function leftovers(bucket, machine, tagPrefix) {
  const notes = bucket.objects(`snapshots/${machine.uuid}/${tagPrefix}`);
  // One that is closed meanwhile is none any more.
  return notes.map(({ key }) => bucket.read(key)).filter((token) => token !== undefined);
}
