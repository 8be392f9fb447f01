/** The server's HTTP API: who it is, and one record set read and replaced. Statuses become faults. */

import * as config from "transload:plugin/config@0.1.0";
import * as http from "transload:plugin/http@0.1.0";

/** To be thrown. The kinds are in types.wit of the contract; the agent's retry policy looks at them and at nothing else. */
export function fault(kind, message) {
  return { kind, message, retryAfterMs: undefined };
}

/*
 * A record set is { ttl, addresses }: the addresses behind a name, sorted, and how long resolvers keep them. With the TTL null there is
 * no such set.
 */

export function same(one, other) {
  return one.ttl === other.ttl && JSON.stringify(one.addresses) === JSON.stringify(other.addresses);
}

export function shown(set) {
  return set.ttl === null ? "not there" : `${set.addresses.join(", ")} for ${set.ttl} s`;
}

export class Server {
  /** What the operator writes under `config`: `endpoint`, such as "https://dns.example.test:8081", and `zone`. */
  constructor() {
    const { endpoint, zone, ...unknown } = JSON.parse(config.json());
    if (Object.keys(unknown).length > 0 || ![endpoint, zone].every((text) => typeof text === "string")) {
      throw fault("invalid", "The settings of this name server cannot be used: they are endpoint and zone, as text.");
    }
    this.endpoint = endpoint.replace(/\/+$/, "");
    this.zone = zone.replace(/\.+$/, "").toLowerCase();
  }

  product() {
    const about = document(this.send("get", "", undefined, "say what it is"));
    return `PowerDNS ${about.daemon_type} ${about.version}, zone ${this.zone}`;
  }

  read(change) {
    this.checkZone(change);
    const asked = `/zones/${this.zone}.?rrset_name=${change.name}&rrset_type=${change.kind}`;
    const zone = document(this.send("get", asked, undefined, "read a name"));
    // An older server ignores the question and sends all of the zone.
    const found = (zone.rrsets ?? []).find((set) => set.name === change.name && set.type === change.kind);
    if (found === undefined) {
      return { ttl: null, addresses: [] };
    }
    if (found.records.some((record) => record.disabled)) {
      throw fault("unsupported", `${change.name} has a disabled record, which would not come back: remove or enable it.`);
    }
    return { ttl: found.ttl, addresses: found.records.map((record) => record.content).sort() };
  }

  write(change, set) {
    this.checkZone(change);
    const changed = {
      name: change.name,
      type: change.kind,
      ttl: set.ttl ?? 0,
      changetype: set.ttl === null ? "DELETE" : "REPLACE",
      records: set.addresses.map((content) => ({ content, disabled: false })),
    };
    this.send("patch", `/zones/${this.zone}.`, { rrsets: [changed] }, "replace a name");
  }

  /** The key that is granted opens more zones than the operator named. */
  checkZone(change) {
    if (!`.${change.name}`.endsWith(`.${this.zone}.`)) {
      throw fault("invalid", `${change.name} is not in zone ${this.zone}.`);
    }
  }

  send(method, path, body, what) {
    const headers = ["accept", "content-type"].map((name) => ({ name, value: "application/json" }));
    // The agent writes the secret into the request; it never comes in here.
    const auth = { tag: "header", val: { name: "x-api-key", prefix: "", secret: "api-key" } };
    const parts = body === undefined ? [] : [{ tag: "bytes", val: new TextEncoder().encode(JSON.stringify(body)) }];
    const response = http.send({ method, url: `${this.endpoint}/api/v1/servers/localhost${path}`, headers, auth }, parts);
    if (response.status >= 200 && response.status <= 299) {
      return response;
    }
    throw fault(kind(response.status), `The name server did not ${what}: status ${response.status}${said(response)}.`);
  }
}

function document(response) {
  try {
    return JSON.parse(new TextDecoder().decode(response.body));
  } catch (error) {
    throw fault("corrupt", `The name server's answer cannot be read: ${error.message}.`);
  }
}

/** Its own words, where it has some. */
function said(response) {
  try {
    const words = JSON.parse(new TextDecoder().decode(response.body)).error;
    return typeof words === "string" ? ` (${words})` : "";
  } catch {
    return "";
  }
}

const KINDS = { 401: "auth", 403: "denied", 404: "not-found", 408: "unavailable", 429: "throttled", 503: "throttled" };

function kind(status) {
  return KINDS[status] ?? (status >= 500 ? "unavailable" : status >= 300 ? "invalid" : "corrupt");
}
