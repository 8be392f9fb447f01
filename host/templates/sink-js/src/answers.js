/**
 * What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else; the kinds are in
 * types.wit of the contract.
 */

/** To be thrown, or to stand in a list of results. */
export function fault(kind, message, retryAfterMs = undefined) {
  return { kind, message, retryAfterMs };
}

/** An answer that is no success. `what` was being done, such as "create vm/a". */
export function refused(bucket, status, retryAfter, body, what) {
  // An answer to HEAD has no document, and a proxy's is none of S3's: then the status has to do.
  const document = new TextDecoder().decode(body);
  const [code, message] = [text(document, "Code"), text(document, "Message")];
  const kind = kindOf(status, code);
  const waits = ["throttled", "unavailable"].includes(kind) && retryAfter !== undefined && /^\d+$/.test(retryAfter);
  const wait = waits ? Math.min(Number(retryAfter) * 1000, 0xffffffff) : undefined;
  return fault(kind, sentence(status, code, message, bucket, what), wait);
}

function sentence(status, code, message, bucket, what) {
  if (code === "NoSuchBucket") {
    return `There is no bucket ${bucket}: create it, or correct its name in the settings.`;
  }
  const said = code === "" ? `status ${status}` : `${code} (${message})`;
  return `The store did not ${what} in bucket ${bucket}: ${said}.`;
}

const KINDS = {
  401: "auth",
  403: "denied",
  404: "not-found",
  405: "unsupported",
  408: "unavailable",
  // A rival's request for this key is still under way, and its end decides. Ask again.
  409: "unavailable",
  412: "conflict",
  429: "throttled",
  501: "unsupported",
  503: "throttled",
  507: "full",
};

function kindOf(status, code) {
  if (["QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"].includes(code)) {
    return "full";
  }
  if (code === "SlowDown") {
    return "throttled";
  }
  const others = status >= 500 && status <= 599 ? "unavailable" : status >= 300 && status <= 499 ? "invalid" : "corrupt";
  return KINDS[status] ?? others;
}

/** A page of ListObjectsV2, its keys without the operator's prefix. */
export function listed(body, prefix) {
  const page = document(body, "ListBucketResult");
  const entries = elements(page, "Contents").map((found) => {
    const [key, size] = [text(found, "Key"), text(found, "Size")];
    if (!key.startsWith(prefix) || !/^\d+$/.test(size)) {
      throw fault("corrupt", `The store listed ${key} of ${size} bytes, which nobody asked for.`);
    }
    return { key: key.slice(prefix.length), size: BigInt(size) };
  });
  if (text(page, "IsTruncated") !== "true") {
    return { entries, next: undefined };
  }
  const next = text(page, "NextContinuationToken");
  if (next === "") {
    throw fault("corrupt", "The store's list goes on, and it did not say where.");
  }
  return { entries, next };
}

/** One result for each key, in their order. A key that the answer does not name was not deleted. */
export function deleted(body, bucket, prefix, keys) {
  const answer = document(body, "DeleteResult");
  const results = new Map();
  for (const done of elements(answer, "Deleted")) {
    results.set(text(done, "Key"), { tag: "ok" });
  }
  for (const error of elements(answer, "Error")) {
    const code = text(error, "Code");
    const status = code === "AccessDenied" ? 403 : 500;
    const told = sentence(status, code, text(error, "Message"), bucket, "delete an object");
    const result = code === "NoSuchKey" ? { tag: "ok" } : { tag: "err", val: fault(kindOf(status, code), told) };
    results.set(text(error, "Key"), result);
  }
  const unsaid = (key) => ({ tag: "err", val: fault("unavailable", `The store did not say whether it deleted ${key}.`) });
  return keys.map((key) => results.get(prefix + key) ?? unsaid(key));
}

/*
 * S3's documents are flat: no element stands inside another one of its name, and nothing of interest is an attribute. So they are read
 * by their tags; there is no reader of XML in the engine.
 */

function document(body, name) {
  const [root] = elements(new TextDecoder().decode(body), name);
  if (root === undefined) {
    throw fault("corrupt", `The store answered with something that is no ${name}.`);
  }
  return root;
}

/** What stands inside each element of this name. */
function elements(inside, name) {
  return [...inside.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, "g"))].map((found) => found[1]);
}

/** The text of the first element of this name; empty when there is none. */
function text(inside, name) {
  const [found = ""] = elements(inside, name);
  const meant = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return found.replace(/&(lt|gt|quot|apos|amp);/g, (_, word) => meant[word]).trim();
}
