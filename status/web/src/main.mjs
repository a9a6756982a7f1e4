// What the page is stands on its body; without this script it is complete as the server has made it.
import { dashboard } from "./dashboard.mjs";
import { element, timeElement } from "./element.mjs";
import { formatClock, formatDay } from "./text.mjs";
import { runPage } from "./run.mjs";

const COPIED_MS = 2000;

/** The server writes times in UTC; who looks has a zone of their own. */
function localTimes() {
  for (const time of document.querySelectorAll("time")) {
    const long = time.textContent.length > "07:19:42 UTC".length;
    time.replaceWith(timeElement(time.dateTime, long ? formatDay : formatClock));
  }
}

/** A button beside the command of the empty page, where the browser lets a page copy. */
function offerCopy() {
  const command = document.getElementById("command");
  if (!command || !navigator.clipboard) return;
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
  command.closest("pre").after(button);
}

localTimes();
offerCopy();
({ dashboard, run: runPage })[document.body.dataset.page]?.();
