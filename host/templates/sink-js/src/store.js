/** The settings, and the six verbs of a sink. Each verb is one request; sink.wit of the contract says what each promises. */

import * as config from "transload:plugin/config@0.1.0";
import * as http from "transload:plugin/http@0.1.0";

import { deleted, fault, listed, refused } from "./answers.js";

/** What one PUT may carry on most stores that speak this dialect. */
export const OBJECT_BYTES_MAX = 5n * 1024n ** 3n;

const PLAIN = /^[A-Za-z0-9._/-]*$/;

export class Store {
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
    /** Stands in front of every key, so that several logs can share a bucket. */
    this.prefix = prefix;
  }

  product() {
    return `Plain object store at ${this.endpoint}, bucket ${this.bucket}`;
  }

  /** Creates the object. The store decides by If-None-Match who was first; everybody else is told `conflict`. */
  put(key, body) {
    const response = http.put(request("put", this.object(key), [{ name: "if-none-match", value: "*" }]), body);
    if (response.status === 412) {
      throw fault("conflict", `${key} exists already.`);
    }
    if (response.status < 200 || response.status > 299) {
      throw this.refused(response, `create ${key}`);
    }
  }

  /** The object or a part of it. The agent writes the Range header, and reads the body after this call. */
  get(key, range) {
    const incoming = http.get(request("get", this.object(key)), range);
    const [status, length] = [incoming.status(), incoming.length()];
    if (range === undefined ? status === 200 : status === 206 && length === range.length) {
      return incoming;
    }
    // The response is not handed over, so it is given back here.
    try {
      throw this.wrongPart(key, range, incoming);
    } finally {
      incoming[Symbol.dispose]();
    }
  }

  wrongPart(key, range, incoming) {
    const [status, length] = [incoming.status(), incoming.length()];
    // Stores shorten a part that reaches past the end; the contract wants that refused.
    const shortened = status === 206 && range !== undefined && length !== undefined && length < range.length;
    if (range !== undefined && (shortened || status === 416)) {
      return fault("invalid", `The ${range.length} bytes from ${range.offset} reach past the end of ${key}.`);
    }
    if (status === 200) {
      return fault("unsupported", `The store ignored the range of ${key} and sent all of it.`);
    }
    if (status >= 200 && status <= 299) {
      return fault("corrupt", `The store answered get ${key} with status ${status} and ${length} bytes.`);
    }
    return refused(this.bucket, status, incoming.header("retry-after"), incoming.faultBody(), `get ${key}`);
  }

  head(key) {
    const response = http.send(request("head", this.object(key)), []);
    if (response.status === 404) {
      return undefined;
    }
    if (response.status !== 200) {
      throw this.refused(response, `look at ${key}`);
    }
    const length = header(response, "content-length");
    if (length === undefined || !/^\d+$/.test(length)) {
      throw fault("corrupt", `The store did not say how long ${key} is.`);
    }
    return BigInt(length);
  }

  /** One page of ListObjectsV2. The cursor is the store's continuation token. */
  entries(prefix, cursor) {
    let url = `${this.url()}?list-type=2&max-keys=1000&prefix=${this.prefix}${prefix}`;
    if (cursor !== undefined) {
      url += `&continuation-token=${encodeURIComponent(cursor)}`;
    }
    const response = http.send(request("get", url), []);
    if (response.status !== 200) {
      throw this.refused(response, "list objects");
    }
    return listed(response.body, this.prefix);
  }

  /** DeleteObjects: up to a thousand keys in one request, and a result for each of them. */
  delete(keys) {
    if (keys.length === 0) {
      return [];
    }
    // Nothing in a key or in the prefix needs to be escaped in XML: the contract and the settings see to that.
    const objects = keys.map((key) => `<Object><Key>${this.prefix}${key}</Key></Object>`).join("");
    const body = `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${objects}</Delete>`;
    const parts = [{ tag: "bytes", val: new TextEncoder().encode(body) }];
    const response = http.send(request("post", `${this.url()}?delete=`), parts);
    if (response.status !== 200) {
      throw this.refused(response, "delete objects");
    }
    return deleted(response.body, this.bucket, this.prefix, keys);
  }

  url() {
    return `${this.endpoint}/${this.bucket}`;
  }

  object(key) {
    return `${this.url()}/${this.prefix}${key}`;
  }

  refused(response, what) {
    return refused(this.bucket, response.status, header(response, "retry-after"), response.body, what);
  }
}

function request(method, url, headers = []) {
  return { method, url, headers, auth: { tag: "none" } };
}

/** The agent gives names of headers in lower case. */
function header(response, name) {
  return response.headers.find((header) => header.name === name)?.value.trim();
}

function wrong(why) {
  return fault("invalid", `The settings of this store cannot be used: ${why}.`);
}
