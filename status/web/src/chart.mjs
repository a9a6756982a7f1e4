// The timeline of a run, drawn with uPlot: memory with the limit, CPUs, and the moments at which something was done.
import { formatAge, formatBytes, isNumber } from "./text.mjs";

const MEMORY_HEIGHT = 230;
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
export function marksOf(run, events) {
  const launched = Date.parse(run.launched_at);
  const marks = [];
  const add = (time, name) => {
    if (time) marks.push({ at: (Date.parse(time) - launched) / 1000, name });
  };
  add(run.warned_at, "warned");
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
    { ...shared, values: (u, ticks) => ticks.map(format), size: 68, space: 34 },
  ];
}

// Where lines of bytes lie: powers of two, so that they read 512 MiB and not 477 MiB.
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
    axes: [x, incrs ? { ...value, incrs } : value],
    series: [{}, { points: { show: false }, width: 1.5, ...series }],
    hooks,
  };
}

/** Draws into holder; called again it draws anew. draw({run, events, timeline}); width follows the holder's. */
export function timelineChart(holder) {
  let plots = [];
  let shown = null;

  function draw(answer) {
    shown = answer;
    const { run, events, timeline } = answer;
    const marks = marksOf(run, events);
    const memory = timeline.memory_bytes;
    const peak = Math.max(1, ...memory.filter(isNumber));
    const limit = isNumber(run.memory_limit_bytes) && peak > run.memory_limit_bytes * LIMIT_SHOWN ? run.memory_limit_bytes : null;
    const end = Math.max(1, ...timeline.t_sec, ...marks.map((mark) => mark.at));
    const rates = cpuRates(timeline.t_sec, timeline.cpu_sec);
    const width = Math.max(200, holder.clientWidth);
    plots.forEach((plot) => plot.destroy());
    plots = [
      new uPlot(
        options(
          width, MEMORY_HEIGHT, end,
          { stroke: () => colour("--held"), fill: () => colour("--held-soft") },
          [0, Math.max(peak, limit ?? 0) * 1.08], formatBytes,
          { draw: [(u) => limit !== null && drawLimit(u, limit), (u) => drawMarks(u, marks, true)] },
          BYTE_STEPS,
        ),
        [timeline.t_sec, memory],
        holder,
      ),
      new uPlot(
        options(
          width, CPU_HEIGHT, end,
          { stroke: () => colour("--muted") },
          [0, Math.max(1, ...rates.filter(isNumber)) * 1.1], (value) => `${value} CPU`,
          { draw: [(u) => drawMarks(u, marks, false)] },
        ),
        [timeline.t_sec, rates],
        holder,
      ),
    ];
    const done = marks.map((mark) => `${mark.name} after ${formatAge(mark.at)}`).join(", ");
    holder.setAttribute("role", "img");
    holder.setAttribute(
      "aria-label",
      `Memory over ${formatAge(end)}: at most ${formatBytes(peak)}${isNumber(run.memory_limit_bytes) ? ` of ${formatBytes(run.memory_limit_bytes)}` : ""}${done ? `; ${done}` : ""}. The table below has the samples.`,
    );
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
