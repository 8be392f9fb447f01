/**
 * A store of objects over plain HTTP: the requests of S3, addressed by path, without signatures.
 *
 *   agent -> sink (this file) -> store.js: one request for each verb -> the agent sends it
 *                                   |
 *                                answers.js: a status and a document become a value or a fault
 *
 * Objects never come in here. `put` names the request that carries a sealed body, `get` hands back the response that the agent will
 * read; both are handles. Names of the contract in wit/ are written in camelCase, numbers of 64 bits are BigInt, what may be missing is
 * undefined, and a fault is thrown.
 */

import { OBJECT_BYTES_MAX, Store } from "./store.js";

/** Any call may meet a fresh instance, so each one reads the settings; nothing is kept. */
export const sink = {
  describe() {
    // `If-None-Match: *` decides one winner. Say "advisory" of a store that takes the header and does not keep to it.
    return { product: new Store().product(), create: "atomic", objectBytesMax: OBJECT_BYTES_MAX };
  },
  put(key, body) {
    // A handle that was lent for a call is given back before its end.
    try {
      new Store().put(key, body);
    } finally {
      body[Symbol.dispose]();
    }
  },
  get(key, range) {
    return new Store().get(key, range);
  },
  head(key) {
    return new Store().head(key);
  },
  entries(prefix, cursor) {
    return new Store().entries(prefix, cursor);
  },
  delete(keys) {
    return new Store().delete(keys);
  },
};
