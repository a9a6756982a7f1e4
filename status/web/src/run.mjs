// The page of a run: asks for the run again whenever the stream says that something may have changed.
import { element, nameElement, setAttribute, setText, timeElement } from "./element.mjs";
import { timelineChart } from "./chart.mjs";
import { speak, watchFreshness } from "./fresh.mjs";
import { openStream } from "./stream.mjs";
import { formatAge, formatBytes, formatClock, formatDay, formatSeconds, isNumber, visible } from "./text.mjs";

function fact(name, ...content) {
  document.querySelector(`#facts [data-f="${name}"] dd`).replaceChildren(...content);
}

function factOf(name, value, limit) {
  fact(name, `${value} `, element("span", { class: "of" }, limit ?? "no limit"));
}

const bytes = (value) => formatBytes(value ?? NaN);
const whenOr = (text, otherwise) => (text ? timeElement(text, formatDay) : otherwise);

function showFacts(run) {
  factOf("memory", bytes(run.memory_bytes), isNumber(run.memory_limit_bytes) ? `of ${bytes(run.memory_limit_bytes)}` : null);
  fact("peak", bytes(run.memory_peak_bytes));
  fact("anon", bytes(run.anon_bytes));
  fact("shmem", bytes(run.shmem_bytes));
  fact("file", bytes(run.file_bytes));
  factOf("age", formatAge(run.age_sec ?? NaN), isNumber(run.timeout_sec) ? `of ${formatSeconds(run.timeout_sec)}` : null);
  fact("cpu", formatSeconds(run.cpu_sec ?? NaN));
  fact("pids", isNumber(run.pids) ? String(run.pids) : "unknown");
  fact("launched", whenOr(run.launched_at, "unknown"));
  fact("deadline", whenOr(run.deadline_at, "none"));
  fact("ended", whenOr(run.ended_at, "not yet"));
  fact("exit", run.exit_signal ? `signal ${visible(run.exit_signal)}` : isNumber(run.exit_status) ? `status ${run.exit_status}` : "none yet");
  fact("enforcement", visible(run.enforcement ?? "unknown"));
}

function showState(run) {
  const state = document.getElementById("state");
  const word = run.verdict ?? run.state;
  if (state.textContent !== word && run.verdict) speak(`The run has ended: ${word}`);
  setAttribute(state, "data-state", word);
  setText(state, visible(word));
  setText(document.getElementById("reason"), run.verdict ? "" : visible(run.reason ?? ""));
}

const clock = (text) => (text ? timeElement(text, formatClock) : "");

function showKillsOf(events) {
  document.getElementById("kills-of-run").hidden = events.length === 0;
  document.getElementById("run-events").replaceChildren(
    ...events.map((event) =>
      element(
        "tr",
        { "data-event": event.event_id },
        element("td", {}, element("span", { class: "reason", "data-reason": event.reason }, visible(event.reason))),
        ...["decided_at", "term_at", "kill_at", "empty_at"].map((key) => element("td", {}, clock(event[key]))),
        element("td", {}, isNumber(event.processes_killed) ? String(event.processes_killed) : ""),
      ),
    ),
  );
}

function showSamples({ t_sec, memory_bytes, cpu_sec }) {
  document.getElementById("samples").replaceChildren(
    ...t_sec.map((t, i) =>
      element("tr", {}, element("td", {}, `${Math.round(t)} s`), element("td", {}, bytes(memory_bytes[i])), element("td", {}, isNumber(cpu_sec[i]) ? `${cpu_sec[i].toFixed(2)} s` : "")),
    ),
  );
}

export function runPage() {
  const id = document.querySelector("article").dataset.run;
  const freshness = watchFreshness(() => {});
  const draw = timelineChart(document.getElementById("chart"));
  let ended = false;
  let asking = null;
  let again = false;

  function show(answer) {
    const { run, events, timeline } = answer;
    document.querySelector("h1").replaceChildren(nameElement(run, false));
    showState(run);
    showFacts(run);
    showKillsOf(events);
    const some = timeline !== null && timeline.t_sec.length > 0;
    document.getElementById("timeline").hidden = !some;
    if (some) {
      showSamples(timeline);
      draw(answer);
    }
    document.getElementById("why-section").hidden = !answer.why;
    setText(document.getElementById("why"), (answer.why ?? "").split("\n").map(visible).join("\n"));
    ended = run.state === "ended";
  }

  // One question at a time; what is asked for meanwhile is asked once more behind it.
  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = fetch(`/api/runs/${encodeURIComponent(id)}`, { cache: "no-store" });
    try {
      const response = await asking;
      if (response.ok) show(await response.json());
    } catch {
      // The stream notices too, and says so.
    }
    asking = null;
    if (again) {
      again = false;
      ask();
    }
  }

  openStream({
    message(event, data) {
      freshness.news();
      if (event === "snapshot" || !ended || data.event?.run_id === id) ask();
    },
    lost: freshness.lost,
  });
}
