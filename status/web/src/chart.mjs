// The timeline of a run, drawn with uPlot: memory with the limit, CPUs, and the moments at which something was done.
import { element } from "./element.mjs";
import { formatAge, formatBytes, isNumber } from "./text.mjs";

const MEMORY_HEIGHT = 220;
const CPU_HEIGHT = 120;
const LIMIT_SHOWN = 0.1; // a limit ten times the peak would flatten the line

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** CPUs in use between one sample and the next. */
export function cpuRates(times, cpu) {
  return times.map((t, i) => {
    const span = t - times[i - 1];
    const used = cpu[i] - cpu[i - 1];
    return i > 0 && span > 0 && isNumber(used) && used >= 0 ? used / span : null;
  });
}

/** Seconds since the launch of what was done to the run: [{at, name}], in their order. */
export function marksOf({ run, events, warned_at }) {
  const launched = Date.parse(run.launched_at);
  const marks = [];
  const add = (time, name) => {
    if (time) marks.push({ at: (Date.parse(time) - launched) / 1000, name });
  };
  add(warned_at, "warned");
  for (const event of events) {
    add(event.term_at, "TERM");
    add(event.kill_at, "KILL");
    if (!event.term_at && !event.kill_at) add(event.decided_at, event.reason);
  }
  return marks.filter((mark) => mark.at >= 0).sort((a, b) => a.at - b.at);
}

function dashed(u, draw) {
  const { ctx } = u;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  draw(ctx);
  ctx.restore();
}

function drawMarks(u, marks, labelled) {
  dashed(u, (ctx) => {
    const { top, height, left, width } = u.bbox;
    ctx.strokeStyle = ctx.fillStyle = colour("--kill");
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    let free = left; // where the labels so far end
    let line = 0;
    for (const { at, name } of marks) {
      const x = Math.round(u.valToPos(at, "x", true));
      if (x < left || x > left + width + 1) continue;
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      if (!labelled) continue;
      const size = ctx.measureText(name).width;
      const leftwards = x + size + 6 * devicePixelRatio > left + width;
      const start = leftwards ? x - size - 4 * devicePixelRatio : x + 4 * devicePixelRatio;
      line = start < free ? line + 1 : 0;
      ctx.fillText(name, start, top + (12 + 13 * line) * devicePixelRatio);
      free = start + size + 4 * devicePixelRatio;
    }
  });
}

function drawLimit(u, limit) {
  dashed(u, (ctx) => {
    const { left, width } = u.bbox;
    const y = Math.round(u.valToPos(limit, "y", true));
    ctx.strokeStyle = ctx.fillStyle = colour("--ink");
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.fillText(`limit ${formatBytes(limit)}`, left + 6 * devicePixelRatio, y + 13 * devicePixelRatio);
  });
}

function axes(format) {
  const shared = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
  return [
    { ...shared, values: (u, ticks) => ticks.map(formatAge), space: 70, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400] },
    { ...shared, values: (u, ticks) => ticks.map(format), size: 68, space: 30 },
  ];
}

// Where lines of bytes lie: powers of two, so that they read 512 MiB and not 477 MiB.
const CPU_STEPS = [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256];
const BYTE_STEPS = Array.from({ length: 50 }, (_, i) => 2 ** (i + 10));

function options(width, height, end, series, y, format, hooks, incrs) {
  const [x, value] = axes(format);
  return {
    width,
    height,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [0, end] }, y: { range: y } },
    axes: [x, { ...value, incrs }],
    series: [{}, { points: { show: false }, width: 1.5, ...series }],
    hooks,
  };
}

function summary({ run }, peak, end, marks) {
  const limit = isNumber(run.memory_limit_bytes) ? ` of ${formatBytes(run.memory_limit_bytes)}` : "";
  const done = marks.map((mark) => `; ${mark.name} after ${formatAge(mark.at)}`).join("");
  return `Memory over ${formatAge(end)}: at most ${formatBytes(peak)}${limit}${done}. The table below has the samples.`;
}

/** Draws into holder: the function that is returned takes an answer of /api/runs/ID. Its width follows the holder's. */
export function timelineChart(holder) {
  let plots = [];
  let shown = null;

  function plot(title, ...rest) {
    const part = element("div", { class: "plot" }, element("p", {}, title));
    holder.append(part);
    const [height, end, series, y, format, hooks, incrs, data] = rest;
    return new uPlot(options(Math.max(200, holder.clientWidth), height, end, series, y, format, hooks, incrs), data, part);
  }

  function draw(answer) {
    shown = answer;
    const { run, timeline } = answer;
    const times = timeline.t_sec;
    const marks = marksOf(answer);
    const peak = Math.max(1, ...timeline.memory_bytes.filter(isNumber));
    const limit = isNumber(run.memory_limit_bytes) && peak > run.memory_limit_bytes * LIMIT_SHOWN ? run.memory_limit_bytes : null;
    // Room for the name of a mark at the end.
    const end = Math.max(1, ...times, ...marks.map((mark) => mark.at * 1.05));
    const rates = cpuRates(times, timeline.cpu_sec);
    plots.forEach((old) => old.destroy());
    holder.replaceChildren();
    plots = [
      plot(
        "Memory", MEMORY_HEIGHT, end, { stroke: () => colour("--held"), fill: () => colour("--held-soft") },
        [0, Math.max(peak, limit ?? 0) * 1.1], formatBytes,
        { draw: [(u) => limit !== null && drawLimit(u, limit), (u) => drawMarks(u, marks, true)] },
        BYTE_STEPS, [times, timeline.memory_bytes],
      ),
      plot(
        "CPUs", CPU_HEIGHT, end, { stroke: () => colour("--muted") },
        [0, Math.max(1, ...rates.filter(isNumber)) * 1.1], String,
        { draw: [(u) => drawMarks(u, marks, false)] },
        CPU_STEPS, [times, rates],
      ),
    ];
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", summary(answer, peak, Math.max(0, ...times), marks));
  }

  const again = () => shown && draw(shown);
  let width = holder.clientWidth;
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    again();
  }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return draw;
}
