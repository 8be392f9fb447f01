/** The bucket: the settings, and one request for each function. Keys are given and answered without the operator's prefix. */

import * as config from "transload:plugin/config@0.1.0";
import * as http from "transload:plugin/http@0.1.0";

import { fault, listed, refused } from "./answers.js";

/** Each folder of a page costs requests more, and when one reply is lost, all of the page is asked for again. */
const FOLDERS_A_PAGE = 1;
const OBJECTS_MAX = 1000;

const PLAIN = /^[A-Za-z0-9._/-]*$/;

export class Bucket {
  /** What the operator writes under `config`. An unknown key is refused: a typing mistake must not become a default. */
  constructor() {
    const { endpoint, bucket, prefix = "", ...unknown } = JSON.parse(config.json());
    if (Object.keys(unknown).length > 0) {
      throw wrong(`unknown key ${Object.keys(unknown)[0]}`);
    }
    if (![endpoint, bucket, prefix].every((text) => typeof text === "string")) {
      throw wrong("endpoint and bucket must be given, as text");
    }
    if (bucket === "" || bucket.includes("/") || !PLAIN.test(bucket)) {
      throw wrong("bucket must be the name of a bucket");
    }
    if (!PLAIN.test(prefix)) {
      throw wrong("prefix may hold letters, digits, '-', '_', '.' and '/'");
    }
    /** "https://store.example.test:9000", without a path. */
    this.endpoint = endpoint.replace(/\/+$/, "");
    this.bucket = bucket;
    /** Stands in front of every key, so that the images can share a bucket with others. */
    this.prefix = prefix;
  }

  product() {
    return `Machine images at ${this.endpoint}, bucket ${this.bucket}`;
  }

  /** A page of the folders in a folder. */
  folders(folder, cursor) {
    const from = cursor === undefined ? "" : `&continuation-token=${encodeURIComponent(cursor)}`;
    return this.list(folder, `&delimiter=%2F&max-keys=${FOLDERS_A_PAGE}${from}`);
  }

  /** All objects whose key starts so. */
  objects(prefix) {
    const listing = this.list(prefix, `&max-keys=${OBJECTS_MAX}`);
    if (listing.next !== undefined) {
      throw fault("unsupported", `More than ${OBJECTS_MAX} objects begin with ${prefix}.`);
    }
    return listing.objects;
  }

  list(prefix, query) {
    const url = `${this.url()}?list-type=2&prefix=${encodeURIComponent(this.prefix + prefix)}${query}`;
    const response = http.send(request("get", url), []);
    if (response.status !== 200) {
      throw this.refused(response, "list objects");
    }
    return listed(response.body, this.prefix);
  }

  /** The text of an object; undefined when there is none. */
  read(key) {
    const response = http.send(request("get", this.object(key)), []);
    if (response.status === 404) {
      return undefined;
    }
    if (response.status !== 200) {
      throw this.refused(response, `read ${key}`);
    }
    return new TextDecoder().decode(response.body);
  }

  /** False when somebody else did, or a request whose reply was lost: the store decides by If-None-Match who was first. */
  create(key, text) {
    const body = [{ tag: "bytes", val: new TextEncoder().encode(text) }];
    const response = http.send(request("put", this.object(key), [{ name: "if-none-match", value: "*" }]), body);
    if (response.status === 412) {
      return false;
    }
    if (response.status < 200 || response.status > 299) {
      throw this.refused(response, `create ${key}`);
    }
    return true;
  }

  delete(key) {
    const response = http.send(request("delete", this.object(key)), []);
    if ((response.status < 200 || response.status > 299) && response.status !== 404) {
      throw this.refused(response, `delete ${key}`);
    }
  }

  /** Names the request for a part of this very object. The agent sends it later, with its Range header, as often as it likes. */
  range(key, etag, range) {
    return http.lazy(request("get", this.object(key), [{ name: "if-match", value: etag }]), { range });
  }

  url() {
    return `${this.endpoint}/${this.bucket}`;
  }

  object(key) {
    return `${this.url()}/${encodeURIComponent(this.prefix + key).replaceAll("%2F", "/")}`;
  }

  refused(response, what) {
    // The agent gives names of headers in lower case.
    const retryAfter = response.headers.find((header) => header.name === "retry-after")?.value.trim();
    return refused(this.bucket, response.status, retryAfter, response.body, what);
  }
}

function request(method, url, headers = []) {
  return { method, url, headers, auth: { tag: "none" } };
}

function wrong(why) {
  return fault("invalid", `The settings of this source cannot be used: ${why}.`);
}
