// The browser, and a page that notices what no test should have to look for: errors of the script, what the
// Content-Security-Policy refused, and requests to anywhere but the server it came from.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { World } from "./world.mjs";

const require = createRequire(`${process.env.SCIDEX_BROWSER_MODULES}/package.json`);
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const LIMIT_MS = 30000;

export class Browser {
  static async start() {
    const made = new Browser();
    made.home = mkdtempSync(join(tmpdir(), "sx-home-"));
    made.chromium = await chromium.launch({
      executablePath: process.env.SCIDEX_CHROMIUM,
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-lcd-text"],
      env: { ...process.env, HOME: made.home },
    });
    made.contexts = [];
    return made;
  }

  /** The world that tests share which do not break it: most of the time is starting supervisors. */
  async world() {
    this.shared ??= await World.start();
    return this.shared;
  }

  /** A page of a context of its own. options: as of playwright's newContext. problems(): what went wrong in it. */
  async page(options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 860 }, ...options });
    this.contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    page.found = [];
    page.origins = new Set();
    page.on("pageerror", (error) => page.found.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => {
      page.found.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") page.found.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => page.origins.add(new URL(request.url()).origin));
    return page;
  }

  async closePages() {
    await Promise.all(this.contexts.splice(0).map((context) => context.close()));
  }

  async stop(tell) {
    await this.chromium.close();
    await this.shared?.stop().catch((error) => tell(String(error)));
    rmSync(this.home, { recursive: true, force: true });
  }
}

export function assert(condition, what) {
  if (!condition) throw new Error(what);
}

export function assertEqual(actual, expected, what) {
  const [left, right] = [actual, expected].map((value) => JSON.stringify(value));
  assert(left === right, `${what}: ${left}, expected ${right}`);
}

/** Nothing went wrong in the page, and it asked nobody but its server. */
export function assertClean(page, world) {
  assertEqual(page.found, [], "what went wrong in the page");
  assertEqual([...page.origins], [world.origin], "who was asked");
}

/** Opens a page and waits until the stream has brought it up to date. */
export async function openLive(page, url) {
  await page.goto(url);
  await page.locator('#fresh[data-state="live"]').waitFor();
}

/** A mark on the page's window, which a reload would lose. */
export async function assertNotReloaded(page, act) {
  await page.evaluate(() => (window.sameDocument = true));
  await act();
  assert(await page.evaluate(() => window.sameDocument === true), "the page was loaded anew");
}

/** What axe-core finds serious or critical. It is not fetched by the page, whose policy would refuse it. */
export async function assertAccessible(page, what) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  assertEqual(
    grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`),
    [],
    `axe on ${what}`,
  );
}

export const rowOf = (page, id) => page.locator("#runs tbody tr", { has: page.getByText(id, { exact: true }) });
export const eventOf = (page, id) => page.locator("#events li", { has: page.getByText(id, { exact: true }) });
