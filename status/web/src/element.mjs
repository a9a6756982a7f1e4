// Elements, made and changed without ever parsing HTML: text is text, whatever is in it.
import { formatClock, formatDay, isNumber, visible } from "./text.mjs";

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets an attribute or text only where it differs, so that an update of what did not change costs nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function timeElement(text, format = formatClock) {
  const date = new Date(text);
  return element("time", { datetime: text, title: formatDay(date) }, format(date));
}

/** The name of a run, as html_name() of the server: a link unless it is not to be one. */
export function nameElement(run, link = true) {
  const name = element("bdi", {}, run.analysis_id === null ? "no analysis id" : visible(run.analysis_id));
  return link ? element("a", { href: `/runs/${encodeURIComponent(run.run_id)}` }, name) : name;
}

const share = (part, whole) => (isNumber(part) && isNumber(whole) && whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0);
const percent = (value) => `${(value * 100).toFixed(1)}%`;

/** A bar of shares of 1: the first solid, the second hatched behind it. Changed in place. */
export function setBar(holder, kind, solid, hatched = 0) {
  let bar = holder.querySelector("svg.bar");
  if (!bar) {
    bar = svg(
      "svg",
      { class: `bar ${kind}`, "aria-hidden": "true" },
      svg("rect", { class: "solid", height: "100%" }),
      svg("rect", { class: "hatched", fill: "url(#hatch)", height: "100%" }),
    );
    holder.append(bar);
  }
  const first = share(solid, 1);
  const [front, back] = bar.children;
  setAttribute(front, "width", percent(first));
  setAttribute(back, "x", percent(first));
  setAttribute(back, "width", percent(Math.min(share(hatched, 1), 1 - first)));
}

export function dropBar(holder) {
  holder.querySelector("svg.bar")?.remove();
}

/** What the kernel can't take back, and the rest of the charge, as shares of the limit. */
export function setMemoryBar(holder, run) {
  const held = isNumber(run.anon_bytes) ? run.anon_bytes + (run.shmem_bytes ?? 0) : run.memory_bytes;
  if (!isNumber(held) || !isNumber(run.memory_limit_bytes)) return dropBar(holder);
  const rest = Math.max(0, (run.memory_bytes ?? held) - held);
  setBar(holder, "memory", share(held, run.memory_limit_bytes), share(rest, run.memory_limit_bytes));
}

const SPARK_WIDTH = 60;
const SPARK_HEIGHT = 16;

export function setSpark(holder, shares) {
  const last = shares.slice(-SPARK_WIDTH);
  if (last.length < 2) return holder.replaceChildren();
  const path = last
    .map((value, i) => `${i === 0 ? "M" : "L"}${SPARK_WIDTH - last.length + i} ${(SPARK_HEIGHT * (1 - share(value, 1))).toFixed(1)}`)
    .join("");
  let line = holder.querySelector("path");
  if (!line) {
    line = svg("path");
    holder.replaceChildren(
      svg("svg", { class: "spark", viewBox: `0 0 ${SPARK_WIDTH - 1} ${SPARK_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, line),
    );
  }
  setAttribute(line, "d", path);
}
