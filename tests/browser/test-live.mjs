// What happens is seen when it happens, without loading the page again.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, assertClean, assertEqual, assertNotReloaded, eventOf, openLive, rowOf } from "./browser.mjs";
import { World, eventually } from "./world.mjs";

const solid = async (row) => Number.parseFloat(await row.locator(".c-memory rect.solid").getAttribute("width"));

async function empty_page_shows_a_command_until_something_runs(browser) {
  const world = await World.start();
  try {
    const page = await browser.page();
    await openLive(page, world.origin);
    await page.getByText("scidex-run --analysis-id SDA-42").waitFor();
    assert(!(await page.locator("#runs").isVisible()), "an empty table is shown");
    assertEqual(await page.locator("#kills tr").count(), await page.locator("#kills tr.none").count(), "reasons with no kill");
    world.grow("first");
    await rowOf(page, "first").waitFor();
    assert(!(await page.locator("#empty").isVisible()), "the command is still shown");
    assertClean(page, world);
  } finally {
    await world.stop();
  }
}

async function a_run_appears_fills_its_bar_is_killed_and_its_event_arrives(browser) {
  const world = await browser.world();
  const page = await browser.page();
  await openLive(page, world.origin);
  await assertNotReloaded(page, async () => {
    const gate = join(world.directory, "gate");
    world.grow("SDA-grows", { memory: "256M", steps: 20, gate });
    const row = rowOf(page, "SDA-grows");
    await row.waitFor();
    await eventually(async () => (await solid(row)) > 15, "the bar fills");
    assert((await solid(row)) < 40, "half of what it will take");
    writeFileSync(gate, "");
    await eventually(async () => (await solid(row)) > 50, "the bar fills further");
    await row.locator(".spark path").waitFor();
    const { run_id } = await world.run("SDA-grows");
    await world.ctl("set", run_id, "--timeout", "1s"); // which is over
    const event = eventOf(page, "SDA-grows");
    await event.waitFor();
    assertEqual(await event.locator(".reason").textContent(), "timeout", "its reason");
    await row.waitFor({ state: "detached" });
    await eventually(async () => (await page.locator('#kills tr[data-reason="timeout"] .c-count').textContent()) !== "0", "the kill is counted");
    const { events } = await world.get("/api/events");
    const [recorded] = events.filter((other) => other.run_id === run_id);
    assertEqual(await event.getAttribute("data-event"), recorded.event_id, "its id");
    assertEqual(await page.locator(`[data-event="${recorded.event_id}"]`).count(), 1, "how often it is shown");
  });
  assertClean(page, world);
}

async function a_run_in_its_grace_stands_first(browser) {
  const world = await browser.world();
  const page = await browser.page();
  await openLive(page, world.origin);
  world.grow("nearly-full", { memory: "128M", step: 8, steps: 12, pause: 0 });
  const ignore = ["--timeout", "3s", "--grace", "1min", "--memory", "1G"];
  const stubborn = world.launch("--analysis-id", "in-grace", ...ignore, "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done");
  await page.locator('#runs tr[data-state="grace"]').waitFor();
  await rowOf(page, "nearly-full").waitFor();
  await eventually(async () => (await page.locator("#runs tbody tr").first().textContent()).includes("in-grace"), "it stands first");
  await page.locator('#figures [data-f="runs"] dd', { hasText: "1 in grace" }).waitFor();
  await world.endMain(stubborn);
  await world.endLaunches();
  assertClean(page, world);
}

async function the_page_of_a_run_follows_it_to_its_end_and_says_why(browser) {
  const world = await browser.world();
  const page = await browser.page();
  world.grow("SDA-page", { memory: "256M", timeout: "8s", more: ["--warn-before", "5s", "--warn-signal", "WINCH"] });
  const { run_id } = await world.run("SDA-page");
  await openLive(page, `${world.origin}/runs/${run_id}`);
  await assertNotReloaded(page, async () => {
    await page.locator("#state", { hasText: "timeout" }).waitFor();
    await page.locator("#why", { hasText: "reached its time limit" }).waitFor();
    await page.locator("#chart canvas").first().waitFor();
    await page.locator("#run-events tr").waitFor();
  });
  const chart = await page.locator("#chart").getAttribute("aria-label");
  for (const word of ["of 256 MiB", "warned after", "TERM after"]) assert(chart.includes(word), `not on the chart: ${word} (${chart})`);
  await page.getByText("As a table").click();
  assert((await page.locator("#samples tr").count()) > 2, "samples in the table");
  const drawn = await page.locator("#chart canvas").first().evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value !== 0);
  });
  assert(drawn, "nothing is drawn");
  assertClean(page, world);
}

async function a_row_leads_to_the_page_of_its_run_and_back(browser) {
  const world = await browser.world();
  const page = await browser.page();
  world.grow("SDA-link");
  await openLive(page, world.origin);
  await rowOf(page, "SDA-link").getByRole("link").click();
  await page.locator("h1", { hasText: "SDA-link" }).waitFor();
  await page.getByRole("link", { name: "Live runs" }).click();
  await rowOf(page, "SDA-link").waitFor();
  await world.endLaunches();
  await rowOf(page, "SDA-link").waitFor({ state: "detached" });
  assertClean(page, world);
}

export const tests = [
  empty_page_shows_a_command_until_something_runs,
  a_run_appears_fills_its_bar_is_killed_and_its_event_arrives,
  a_run_in_its_grace_stands_first,
  the_page_of_a_run_follows_it_to_its_end_and_says_why,
  a_row_leads_to_the_page_of_its_run_and_back,
].map((test) => [test.name, test]);
