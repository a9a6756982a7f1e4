// How old is what the page shows, and the banner when that is too old to be believed.
import { setAttribute, setText } from "./element.mjs";
import { formatAge, formatClock } from "./text.mjs";

const STALE_MS = 15000;

/** The age of the last news in words; tick(age in seconds) every second while it is fresh. */
export function watchFreshness(tick) {
  const fresh = document.getElementById("fresh");
  const notice = document.getElementById("notice");
  const began = performance.now();
  let newsAt = null;
  let clock = new Date();
  let connected = true;
  let trouble = "";

  function show() {
    const age = performance.now() - (newsAt ?? began);
    const stale = age > STALE_MS;
    const state = stale ? "stale" : newsAt === null ? "page" : connected ? "live" : "lost";
    setAttribute(fresh, "data-state", state);
    setAttribute(document.body, "data-fresh", state);
    if (newsAt !== null) setText(fresh, `${{ live: "Live", lost: "Reconnecting", stale: "Stale" }[state]}, updated ${formatAge(age / 1000)} ago`);
    const text = stale
      ? `No news since ${formatClock(clock)}. What is shown is old; limits are enforced all the same. Trying again.`
      : trouble;
    setText(notice, text);
    if (!stale && newsAt !== null) tick(age / 1000);
  }

  setInterval(show, 1000);
  return {
    news() {
      newsAt = performance.now();
      clock = new Date();
      connected = true;
      show();
    },
    lost() {
      connected = false;
      show();
    },
    /** What the server itself says is wrong; "" for nothing. */
    trouble(text) {
      trouble = text;
    },
  };
}

/** Told to those who do not see the page, at most one at a time. */
export function speak(text) {
  setText(document.getElementById("spoken"), text);
}
