/**
 * What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else; the kinds are in
 * types.wit of the contract.
 */

/** To be thrown. */
export function fault(kind, message, retryAfterMs = undefined) {
  return { kind, message, retryAfterMs };
}

/** An answer that is no success. `what` was being done, such as "read machines/db01/machine.json". */
export function refused(bucket, status, retryAfter, body, what) {
  // A proxy's document is none of S3's: then the status has to do.
  const document = new TextDecoder().decode(body);
  const [code, message] = [text(document, "Code"), text(document, "Message")];
  const kind = kindOf(status, code);
  const waits = ["throttled", "unavailable"].includes(kind) && retryAfter !== undefined && /^\d+$/.test(retryAfter);
  const wait = waits ? Math.min(Number(retryAfter) * 1000, 0xffffffff) : undefined;
  if (code === "NoSuchBucket") {
    return fault(kind, `There is no bucket ${bucket}: create it, or correct its name in the settings.`, wait);
  }
  const said = code === "" ? `status ${status}` : `${code} (${message})`;
  return fault(kind, `The store did not ${what} in bucket ${bucket}: ${said}.`, wait);
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

/** A page of ListObjectsV2, its keys without the operator's prefix. An ETag has its quotation marks, as If-Match wants it. */
export function listed(body, prefix) {
  const page = document(body, "ListBucketResult");
  const ours = (key) => {
    if (!key.startsWith(prefix)) {
      throw fault("corrupt", `The store listed ${key}, which nobody asked for.`);
    }
    return key.slice(prefix.length);
  };
  const objects = elements(page, "Contents").map((found) => {
    const [key, size] = [ours(text(found, "Key")), text(found, "Size")];
    if (!/^\d+$/.test(size)) {
      throw fault("corrupt", `The store listed ${key} of ${size} bytes.`);
    }
    return { key, size: Number(size), etag: text(found, "ETag") };
  });
  const folders = elements(page, "CommonPrefixes").map((found) => ours(text(found, "Prefix")));
  if (text(page, "IsTruncated") !== "true") {
    return { objects, folders, next: undefined };
  }
  const next = text(page, "NextContinuationToken");
  if (next === "") {
    throw fault("corrupt", "The store's list goes on, and it did not say where.");
  }
  return { objects, folders, next };
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
  const character = (_, word, number) => meant[word] ?? String.fromCodePoint(Number(number));
  return found.replace(/&(?:(lt|gt|quot|apos|amp)|#(\d+));/g, character).trim();
}

/** JSON of ours or of the exporter's, with these keys and no others. */
export function parsed(json, what, keys) {
  let told;
  try {
    told = JSON.parse(json);
  } catch (error) {
    throw fault("corrupt", `${what} cannot be read: ${error.message}.`);
  }
  const wanted = Object.entries(keys);
  const fits = wanted.every(([key, type]) => typeof told?.[key] === type);
  if (!fits || Object.keys(told).length !== wanted.length) {
    throw fault("corrupt", `${what} cannot be read: it has not just ${wanted.map(([key, type]) => `${key} (${type})`).join(", ")}.`);
  }
  return told;
}
