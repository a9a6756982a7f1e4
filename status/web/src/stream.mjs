// The stream of server-sent events, read with fetch() and not with EventSource, for three reasons: EventSource can't
// tell a connection that has gone silent from one with no news, gives up for good when a restarting server says 503,
// and forgets its last event id when it is made anew. With the id nothing is missed over a restart.

const SILENCE_MS = 12000; // the server says something at least every 5 s
const RETRY_MAX_MS = 8000;
const HIDDEN_MS = 60000; // nobody looks: figures need not be sampled for this page

/** Takes the chunks of a stream apart. message({event, data, id}) for each; retry(ms). */
export function eventParser(message, retry) {
  let rest = "";
  let event = {};
  const line = (text) => {
    if (text === "") {
      if (event.data !== undefined) message({ event: event.event ?? "message", data: event.data, id: event.id });
      event = {};
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    else if (field === "event" || field === "id") event[field] = value;
    else if (field === "retry" && /^\d+$/.test(value)) retry(Number(value));
  };
  return (chunk) => {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

/** Reads for ever. message(event, object) for each message; lost() whenever the connection has gone. */
export function openStream({ message, lost }) {
  let lastId = null;
  let retryMs = 2000;
  let failures = 0;
  let controller = null;
  let silence = null;
  let wake = null;

  function awaitNews() {
    clearTimeout(silence);
    silence = setTimeout(() => controller.abort(), SILENCE_MS);
  }

  async function read() {
    controller = new AbortController();
    awaitNews();
    const headers = { Accept: "text/event-stream" };
    if (lastId) headers["Last-Event-ID"] = lastId;
    const response = await fetch("/api/stream", { headers, cache: "no-store", signal: controller.signal });
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    const feed = eventParser(
      ({ event, data, id }) => {
        failures = 0;
        message(event, JSON.parse(data));
        if (id) lastId = id;
      },
      (ms) => (retryMs = ms),
    );
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      awaitNews();
      feed(decoder.decode(value, { stream: true }));
    }
  }

  // Many pages come back to one server that has just started: not all at once.
  function pause() {
    const wait = Math.min(RETRY_MAX_MS, retryMs * 1.5 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  const shown = () =>
    document.visibilityState === "visible"
      ? Promise.resolve()
      : new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));

  let hidden = null;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.visibilityState === "hidden") hidden = setTimeout(() => controller?.abort(), HIDDEN_MS);
    else wake?.();
  });
  addEventListener("online", () => wake?.());

  (async () => {
    for (;;) {
      try {
        await read();
      } catch (error) {
        if (error instanceof SyntaxError) lastId = null; // what can't be read is not asked for again
      }
      clearTimeout(silence);
      failures++;
      lost();
      await pause();
      await shown();
    }
  })();
}
