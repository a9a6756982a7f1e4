// The dashboard: keeps what the server has rendered up to date. Ids, data-f and classes are those of status/page.c.
import { dropBar, element, nameElement, setAttribute, setBar, setMemoryBar, setSpark, setText, timeElement } from "./element.mjs";
import { speak, watchFreshness } from "./fresh.mjs";
import { openStream } from "./stream.mjs";
import { formatAge, formatBytes, formatSeconds, isNumber, visible } from "./text.mjs";

const EVENTS_SHOWN = 20;
const SPARK_SAMPLES = 60;

// Figures

function figure(name, value, note = "") {
  const holder = document.querySelector(`#figures [data-f="${name}"] dd`);
  if (!holder.querySelector("span")) holder.append(" ", element("span"));
  setText(holder.querySelector("b"), value);
  setText(holder.querySelector("span"), note);
  return holder;
}

function storageFigure(storage) {
  const postgres = storage.kind === "postgres";
  const state = postgres && storage.state === "ok" ? storage.postgres_state : storage.state;
  const note = postgres ? `PostgreSQL, ${storage.waiting} waiting, ${storage.dead_letters} refused` : "SQLite";
  setAttribute(figure("storage", visible(state ?? "unknown"), note), "data-ok", String(state === "ok"));
}

function supervisorFigure(supervisor) {
  const up = isNumber(supervisor.uptime_sec) ? `up ${formatAge(supervisor.uptime_sec)}, ` : "";
  const restarts = supervisor.restarts ?? 0;
  const by = supervisor.enforcement === "kernel" ? "by the kernel" : visible(supervisor.enforcement ?? "");
  const limits = by ? `, limits ${by}` : "";
  figure("supervisor", visible(supervisor.version ?? "unknown"), `${up}${restarts} restart${restarts === 1 ? "" : "s"}${limits}`);
}

function showFigures(watchdog) {
  const { totals } = watchdog;
  setAttribute(figure("runs", String(watchdog.monitored_count), `${watchdog.grace_count} in grace`), "data-ok", String(watchdog.grace_count === 0));
  const memory = figure(
    "memory",
    formatBytes(totals.memory_bytes ?? NaN),
    isNumber(totals.limit_bytes) && totals.limit_bytes > 0 ? `of ${formatBytes(totals.limit_bytes)} in limits` : "",
  );
  // Where memory is sampled nobody knows its parts: all but what is known to be cache counts as held.
  const held = isNumber(totals.memory_bytes) ? Math.max(0, totals.memory_bytes - (totals.file_bytes ?? 0)) : null;
  setMemoryBar(memory, { memory_bytes: totals.memory_bytes, anon_bytes: held, memory_limit_bytes: totals.limit_bytes || null });
  figure("cpus", isNumber(totals.cpus) ? totals.cpus.toFixed(1) : "unknown");
  figure("kills", String(watchdog.kills_last_24h));
  storageFigure(watchdog.storage);
  supervisorFigure(watchdog.supervisor);
}

function showKills(byReason) {
  const body = document.querySelector("#kills tbody");
  const most = Math.max(1, ...Object.values(byReason));
  for (const [reason, count] of Object.entries(byReason)) {
    let row = [...body.rows].find((other) => other.dataset.reason === reason);
    if (!row) {
      row = element("tr", { "data-reason": reason }, element("th", { scope: "row" }, visible(reason)), element("td", { class: "c-bar" }), element("td", { class: "c-count" }));
      body.append(row);
    }
    row.classList.toggle("none", count === 0);
    setBar(row.querySelector(".c-bar"), "kill", count / most);
    setText(row.querySelector(".c-count"), String(count));
  }
}

// Runs

const runs = new Map(); // run_id → {run, spark, row, at}

function ofText(holder, value, limit) {
  let span = holder.querySelector(":scope > span");
  if (!span) {
    span = element("span", {}, "", element("span", { class: "of" }));
    holder.prepend(span);
  }
  const note = span.querySelector(".of");
  if (span.firstChild.nodeType !== Node.TEXT_NODE) span.prepend("");
  if (span.firstChild.data !== `${value} `) span.firstChild.data = `${value} `;
  setText(note, limit);
}

const CELLS = ["state", "memory", "trend", "cpu", "pids", "time"];

function newRow(run) {
  const row = element("tr", { role: "row", "data-run": run.run_id });
  row.append(
    element("th", { role: "rowheader", scope: "row", class: "c-name" }, nameElement(run), " ", element("span", { class: "id" }, visible(run.short_id))),
    ...CELLS.map((name) => element("td", { role: "cell", class: `c-${name}` })),
  );
  row.querySelector(".c-state").append(element("span", { class: "state" }));
  return row;
}

function showTime(entry, elapsed = 0) {
  const { run, row } = entry;
  const cell = row.querySelector(".c-time");
  const age = isNumber(run.age_sec) ? run.age_sec + elapsed : NaN;
  ofText(cell, formatAge(age), isNumber(run.timeout_sec) ? `of ${formatSeconds(run.timeout_sec)}` : "no limit");
  if (isNumber(run.timeout_sec)) setBar(cell, "time", age / run.timeout_sec);
  else dropBar(cell);
}

function showRun(entry) {
  const { run, row } = entry;
  const cell = (name) => row.querySelector(`.c-${name}`);
  setAttribute(row, "data-state", run.state);
  if (cell("state").children.length < 2) cell("state").append(" ", element("span", { class: "of" }));
  const [state, reason] = cell("state").children;
  setAttribute(state, "data-state", run.state);
  setText(state, visible(run.state));
  setText(reason, visible(run.reason ?? ""));
  ofText(cell("memory"), formatBytes(run.memory_bytes ?? NaN), isNumber(run.memory_limit_bytes) ? `of ${formatBytes(run.memory_limit_bytes)}` : "no limit");
  setMemoryBar(cell("memory"), run);
  setSpark(cell("trend"), entry.spark);
  setText(cell("cpu"), isNumber(run.cpus) ? run.cpus.toFixed(1) : "");
  setText(cell("pids"), isNumber(run.pids) ? String(run.pids) : "");
  showTime(entry);
}

function takeRun(run) {
  let entry = runs.get(run.run_id);
  if (!entry) {
    // What the server has rendered stays, and with it the focus of who was faster than the first message.
    const rendered = document.querySelector(`#runs tr[data-run="${CSS.escape(run.run_id)}"]`);
    entry = { row: rendered ?? newRow(run), spark: [] };
    runs.set(run.run_id, entry);
  }
  entry.run = run;
  entry.at = performance.now();
  if (run.spark) entry.spark = run.spark.slice();
}

const isUrgent = (run) => run.state === "grace" || run.state === "killing";

function byUrgency(a, b) {
  return (
    Number(isUrgent(b.run)) - Number(isUrgent(a.run)) || (b.run.share ?? 0) - (a.run.share ?? 0) || (a.run.run_id < b.run.run_id ? 1 : -1)
  );
}

/** While somebody points at a row or is in it with the keyboard it does not move away from under them. */
function order(body) {
  const sorted = [...runs.values()].sort(byUrgency);
  if (!body.matches(":hover") && !body.contains(document.activeElement)) return sorted;
  const places = new Map([...body.rows].map((row, i) => [row, i]));
  const place = (entry) => places.get(entry.row) ?? Infinity;
  return sorted.sort((a, b) => Number(isUrgent(b.run)) - Number(isUrgent(a.run)) || place(a) - place(b) || 0);
}

function showRuns(monitored) {
  const body = document.querySelector("#runs tbody");
  const sorted = order(body);
  for (const row of [...body.rows]) if (runs.get(row.dataset.run)?.row !== row) row.remove();
  sorted.forEach((entry, i) => {
    if (body.rows[i] !== entry.row) body.insertBefore(entry.row, body.rows[i] ?? null);
  });
  document.getElementById("runs").hidden = runs.size === 0;
  document.getElementById("empty").hidden = runs.size > 0;
  setText(document.getElementById("runs-note"), monitored > runs.size ? `${runs.size} of ${monitored}, nearest to a limit first` : "");
  document.title = runs.size === 0 ? "scidex: nothing runs" : `scidex: ${monitored} run${monitored === 1 ? "" : "s"}`;
}

// Events

function eventItem(event) {
  return element(
    "li",
    { "data-event": event.event_id },
    timeElement(event.decided_at),
    " ",
    element("span", { class: "reason", "data-reason": event.reason }, visible(event.reason)),
    " ",
    nameElement(event),
    " ",
    element("span", { class: "of" }, `after ${formatSeconds(event.duration_sec ?? NaN)}, peak ${formatBytes(event.memory_peak_bytes ?? NaN)}`),
  );
}

const hasEvent = (event) => document.querySelector(`#events [data-event="${CSS.escape(event.event_id)}"]`) !== null;

function showEvents(events) {
  document.getElementById("events").replaceChildren(...events.slice(0, EVENTS_SHOWN).map(eventItem));
  document.getElementById("no-events").hidden = events.length > 0;
}

function addEvent(event) {
  if (hasEvent(event)) return;
  const list = document.getElementById("events");
  const item = eventItem(event);
  item.classList.add("new");
  list.prepend(item);
  while (list.children.length > EVENTS_SHOWN) list.lastChild.remove();
  document.getElementById("no-events").hidden = true;
  speak(`${visible(event.analysis_id ?? event.short_id)} killed: ${visible(event.reason)}`);
}

// Messages

export function dashboard() {
  let monitored = 0;
  const freshness = watchFreshness(() => {
    for (const entry of runs.values()) showTime(entry, (performance.now() - entry.at) / 1000);
  });

  function showWatchdog(watchdog) {
    monitored = watchdog.monitored_count;
    showFigures(watchdog);
    showKills(watchdog.kills_by_reason);
    freshness.trouble(watchdog.supervisor.connected ? "" : "The supervisor does not answer. What is shown is the last that is known.");
    return watchdog.recent_events;
  }

  const takes = {
    snapshot(data) {
      const listed = new Set(data.runs.map((run) => run.run_id));
      for (const id of [...runs.keys()]) if (!listed.has(id)) runs.delete(id);
      data.runs.forEach(takeRun);
      showEvents(showWatchdog(data.watchdog));
    },
    update(data) {
      data.gone.forEach((id) => runs.delete(id));
      data.runs.forEach(takeRun);
      for (const { run, spark } of runs.values()) {
        if (!isNumber(run.memory_bytes) || !isNumber(run.memory_limit_bytes)) continue;
        spark.push(run.memory_bytes / run.memory_limit_bytes);
        if (spark.length > SPARK_SAMPLES) spark.shift();
      }
      if (data.watchdog) [...showWatchdog(data.watchdog)].reverse().forEach(addEvent);
    },
    event(data) {
      addEvent(data.event);
    },
  };

  openStream({
    message(event, data) {
      takes[event]?.(data);
      for (const entry of runs.values()) showRun(entry);
      if (event !== "event") showRuns(monitored);
      freshness.news();
    },
    lost: freshness.lost,
  });
}
