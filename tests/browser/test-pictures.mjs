// Pictures of the pages, of runs as they are on a working day. They are looked at by people; here it is only tested
// that there is something on them, and, where docs/images is renewed, that they are small enough for it.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertClean, eventOf, openLive, rowOf } from "./browser.mjs";
import { repack } from "./png.mjs";
import { World, eventually } from "./world.mjs";

const DIRECTORY = join(process.env.SCIDEX_BUILD, "screenshots");
const IMAGES = join(new URL(".", import.meta.url).pathname, "../../docs/images");
const VIEWPORT = { width: 1240, height: 640 };
const SMALLEST = 5000;
const LARGEST = 100 << 10;

async function picture(page, name) {
  const path = join(DIRECTORY, `${name}.png`);
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.getAnimations().forEach((animation) => animation.finish()));
  const bytes = repack(await page.screenshot());
  writeFileSync(path, bytes);
  assert(bytes.length >= SMALLEST, `${path} has ${bytes.length} bytes`);
  if (!process.env.SCIDEX_IMAGES) return;
  assert(bytes.length <= LARGEST, `${path} has ${bytes.length} bytes`);
  mkdirSync(IMAGES, { recursive: true });
  writeFileSync(join(IMAGES, `${name}.png`), bytes);
}

/** Runs of every kind, and some that were killed: the id of the last of these; one that hears no TERM. */
async function workingDay(world) {
  const kinds = [
    ["rnaseq-quant-0193", "192M", "30min", 10, 12],
    ["gwas/chr7-impute", "256M", "1h", 9, 20],
    ["mcmc-fit seed=11", "128M", "45min", 2, 20],
    ["fold-7b-AF2", "512M", "2h", 20, 20],
    ["SDA-42", "96M", "20min", 3, 20],
  ];
  for (const [id, memory, timeout, step, steps] of kinds) world.grow(id, { memory, timeout, step, steps, pause: 0.8 });
  const stubborn = world.launch("--analysis-id", "umap-sweep-3", "--memory", "128M", "--timeout", "6s", "--grace", "5min", "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done");
  const killed = ["SDA-17", "blast-nr-44"].map((id) => world.launch("--analysis-id", id, "--timeout", "1s", "--grace", "100ms", "--", "sleep", "100"));
  world.grow("kmeans-10x", { memory: "64M", step: 8, steps: 20, pause: 0.3 });
  const hung = world.grow("SDA-40", { memory: "160M", timeout: "14s", step: 8, steps: 14, pause: 0.6, more: ["--warn-before", "4s", "--warn-signal", "WINCH"] });
  await Promise.all([...killed, hung].map((launch) => launch.ended));
  const { run_id } = await eventually(async () => (await world.get("/api/events?analysis_id=SDA-40")).events[0], "the kill of SDA-40");
  return { run_id, stubborn };
}

async function pictures_of_the_pages(browser) {
  const world = await World.start();
  try {
    const empty = await browser.page({ viewport: VIEWPORT });
    await openLive(empty, world.origin);
    await picture(empty, "dashboard-empty");
    const pages = {
      "dashboard-light": await browser.page({ colorScheme: "light", viewport: VIEWPORT }),
      "dashboard-dark": await browser.page({ colorScheme: "dark", viewport: VIEWPORT }),
      "dashboard-phone": await browser.page({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }),
    };
    for (const page of Object.values(pages)) await openLive(page, world.origin);
    const { run_id, stubborn } = await workingDay(world);
    for (const [name, page] of Object.entries(pages)) {
      await eventOf(page, "SDA-40").waitFor();
      await rowOf(page, "SDA-40").waitFor({ state: "detached" });
      await page.locator('#runs tr[data-state="grace"]').waitFor();
      await rowOf(page, "SDA-42").waitFor();
      await picture(page, name);
      assertClean(page, world);
    }
    const run = await browser.page({ viewport: { width: 1240, height: 980 } });
    await openLive(run, `${world.origin}/runs/${run_id}`);
    await run.locator("#chart canvas").first().waitFor();
    await picture(run, "run");
    await world.endMain(stubborn);
  } finally {
    await world.stop();
  }
}

export const tests = [pictures_of_the_pages].map((test) => [test.name, test]);
