/**
 * Talking to the REST API of the place that this page came from.
 *
 * The key goes in a header, never in an address, and stays in this tab's session storage. What goes
 * wrong is told in the API's own words (problem details, RFC 9457).
 */

const BASE = "api/v1";
const KEPT = "encore.key";
const LOOK_MS = 2_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** What the API refused or could not do. `status` 0: nobody answered. */
export class Problem extends Error {
  constructor(status, title, detail, errors = []) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.errors = errors;
  }

  /** Whether time may heal it. */
  get mayPass() {
    return this.status === 0 || this.status === 503;
  }
}

/**
 * The API, and how it stands with it.
 *
 * `state` is `opening`, `no-key`, `refused`, `away` or `ready`; an event `state` tells of another one, and
 * `problem` says what is the matter. `caller` is `{key_id, role}` once the key is known.
 */
export class Api extends EventTarget {
  #key = sessionStorage.getItem(KEPT) ?? "";
  #looking = null;
  state = "opening";
  problem = null;
  caller = null;

  /** Find out who calls. */
  async open() {
    this.#looking = clearTimeout(this.#looking);
    if (!this.#key) return this.#become("no-key");
    try {
      this.caller = await this.get("key");
      this.#become("ready");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
    }
  }

  /** Use another key from now on; an empty one is none. */
  async use(key) {
    this.#key = key.trim();
    this.caller = null;
    if (this.#key) sessionStorage.setItem(KEPT, this.#key);
    else sessionStorage.removeItem(KEPT);
    await this.open();
  }

  /** Whether the key may do what a role may. */
  may(role) {
    const order = ["read", "write", "admin"];
    return order.indexOf(this.caller?.role) >= order.indexOf(role);
  }

  /** Ask for `path` below /api/v1, such as `users/u1/history`; `parameters` that are null are left out. */
  get(path, parameters = {}, options = {}) {
    return this.#call("GET", path, parameters, undefined, options);
  }

  post(path, body, parameters = {}, options = {}) {
    return this.#call("POST", path, parameters, body, options);
  }

  put(path, parameters = {}, options = {}) {
    return this.#call("PUT", path, parameters, undefined, options);
  }

  delete(path, parameters = {}, options = {}) {
    return this.#call("DELETE", path, parameters, undefined, options);
  }

  /**
   * Read server-sent events until closed; return what closes it.
   *
   * `handlers` are called by the name of the event with its data. A stream that breaks is opened
   * again after a pause that grows; an event `problem` of the server says that a part is away.
   */
  stream(path, handlers, parameters = {}) {
    const ending = new AbortController();
    this.#follow(path, parameters, handlers, ending.signal);
    return () => ending.abort();
  }

  /**
   * Send something and read the server-sent events that answer it, once.
   *
   * Resolves when the answer ends; rejects with a `Problem` where it is refused.
   */
  async trace(path, body, handlers, { signal } = {}) {
    const told = await this.#send("POST", path, {}, body, { signal });
    await readEvents(told.body, handlers);
  }

  async #follow(path, parameters, handlers, signal) {
    let wait = FIRST_WAIT_MS;
    while (!signal.aborted) {
      try {
        const told = await this.#send("GET", path, parameters, undefined, { signal });
        const heard = { ...handlers };
        heard.problem = (data) => this.#suffer(new Problem(data.status, data.title, data.detail));
        await readEvents(told.body, heard, () => (wait = FIRST_WAIT_MS));
      } catch (problem) {
        if (signal.aborted) return;
        if (problem instanceof Problem && !problem.mayPass && problem.status !== 429) {
          handlers.refused?.(problem);
          return;
        }
      }
      await pause(wait, signal);
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    }
  }

  async #call(method, path, parameters, body, options) {
    const told = await this.#send(method, path, parameters, body, options);
    return told.headers.get("content-type")?.startsWith("application/json") ? told.json() : told.text();
  }

  async #send(method, path, parameters, body, { signal } = {}) {
    const headers = { "X-API-Key": this.#key };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let told;
    try {
      told = await fetch(address(path, parameters), {
        method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw this.#suffer(new Problem(0, "No answer", "The server does not answer."), method);
    }
    if (told.ok) return told;
    throw this.#suffer(await problemOf(told), method);
  }

  /** Take note of a problem that is not the view's own, and return it. */
  #suffer(problem, method = "GET") {
    if (problem.status === 401) this.#become("refused", problem);
    else if (problem.status === 0 || (problem.mayPass && method === "GET")) {
      this.#become("away", problem);
      this.#looking ??= setTimeout(() => this.look(), LOOK_MS);
    }
    return problem;
  }

  /** Look whether what was away is back; go on looking until it is. */
  async look() {
    clearTimeout(this.#looking);
    this.#looking = null;
    try {
      const told = await fetch(address("health/ready"), { cache: "no-store" });
      const { parts } = await told.json();
      if (parts.postgres === "up") return await this.open();
      this.problem = new Problem(503, "Away", awayText(parts));
    } catch {
      this.problem = new Problem(0, "No answer", "The server does not answer.");
    }
    this.#become("away", this.problem);
    this.#looking ??= setTimeout(() => this.look(), LOOK_MS);
  }

  #become(state, problem = null) {
    const same = state === this.state && problem?.message === this.problem?.message;
    this.state = state;
    this.problem = problem;
    if (state === "no-key" || state === "refused") this.caller = null;
    if (!same || state === "ready") this.dispatchEvent(new Event("state"));
  }
}

function awayText(parts) {
  const names = { postgres: "PostgreSQL", kafka: "Kafka", redis: "Redis" };
  const gone = Object.entries(parts).filter(([, state]) => state !== "up");
  return `${gone.map(([part, state]) => `${names[part] ?? part} is ${state}`).join(", ")}.`;
}

function address(path, parameters = {}) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") asked.append(name, one);
    }
  }
  const query = asked.toString();
  return `${BASE}/${path}${query ? `?${query}` : ""}`;
}

async function problemOf(told) {
  try {
    const body = await told.json();
    return new Problem(told.status, body.title, body.detail, body.errors);
  } catch {
    return new Problem(told.status, told.statusText, `The server answered ${told.status}.`);
  }
}

/** Call the handlers of the events of a body, as they come, until it ends. */
async function readEvents(body, handlers, onAny = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onAny();
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) hear(part, handlers);
  }
}

function hear(part, handlers) {
  let name = "message";
  const data = [];
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length) handlers[name]?.(JSON.parse(data.join("\n")));
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
