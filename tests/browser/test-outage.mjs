// The page never looks fresh when it is not, and misses nothing while it could not be told.
import { assert, assertEqual, assertNotReloaded, eventOf, openLive, rowOf } from "./browser.mjs";
import { World, eventually } from "./world.mjs";

const STALE_LIMIT_MS = 60000;

async function killed(world, id) {
  await world.launch("--analysis-id", id, "--timeout", "100ms", "--grace", "100ms", "--", "sleep", "100").ended;
  return eventually(async () => (await world.get(`/api/events?analysis_id=${id}`)).events[0], `a kill of ${id}`);
}

/** Each kill that the record has, once, and in its order. */
async function assertAllShown(page, world) {
  const recorded = async () => (await world.get("/api/events?limit=20")).events.map((event) => event.event_id);
  const shown = () => page.locator("#events li").evaluateAll((items) => items.map((item) => item.dataset.event));
  await eventually(async () => JSON.stringify(await shown()) === JSON.stringify(await recorded()), "the page shows what the record has");
}

// Its launchers start a private supervisor that has died again at once. So it hangs first: then nobody takes its place.
async function a_supervisor_that_hangs_and_dies_makes_the_page_stale_and_the_next_one_recovers_it(browser) {
  const world = await World.start();
  try {
    const page = await browser.page();
    await openLive(page, world.origin);
    await killed(world, "before");
    await eventOf(page, "before").waitFor();
    world.grow("survivor");
    const overdue = world.grow("overdue", { timeout: "15s" });
    await rowOf(page, "overdue").waitFor();
    await rowOf(page, "survivor").waitFor();
    await assertNotReloaded(page, async () => {
      world.signalSupervisor("SIGSTOP");
      await page.locator("#notice", { hasText: "No news since" }).waitFor({ timeout: STALE_LIMIT_MS });
      assertEqual(await page.locator("body").getAttribute("data-fresh"), "stale", "the page");
      world.signalSupervisor("SIGKILL");
      await overdue.ended;
      await page.locator('#fresh[data-state="live"]').waitFor();
      assertEqual(await page.locator("#notice").textContent(), "", "the notice");
      await eventOf(page, "overdue").waitFor();
      await rowOf(page, "survivor").waitFor();
      await rowOf(page, "overdue").waitFor({ state: "detached" });
    });
    await assertAllShown(page, world);
  } finally {
    await world.stop();
  }
}

async function kills_while_the_way_to_the_server_was_cut_are_told_afterwards(browser) {
  const world = await browser.world();
  const page = await browser.page();
  await openLive(page, world.origin);
  await killed(world, "cut-0");
  await eventOf(page, "cut-0").waitFor();
  const asked = [];
  page.on("request", (request) => request.url().endsWith("/api/stream") && asked.push(request.headers()["last-event-id"]));
  await assertNotReloaded(page, async () => {
    await page.context().setOffline(true);
    // What is open already goes on when a page is set offline: it is cut at the server's end.
    for (const pid of world.pids("scidex-recorder")) process.kill(pid, "SIGKILL");
    await page.locator('#fresh[data-state="lost"]').waitFor();
    const missed = [];
    for (const id of ["cut-1", "cut-2", "cut-3"]) missed.push(await killed(world, id));
    await page.context().setOffline(false);
    for (const { event_id } of missed) await page.locator(`#events [data-event="${event_id}"]`).waitFor();
    await page.locator('#fresh[data-state="live"]').waitFor();
  });
  assert(asked.some((id) => id), "the last event was never named when the stream was opened again");
  await assertAllShown(page, world);
}

export const tests = [
  a_supervisor_that_hangs_and_dies_makes_the_page_stale_and_the_next_one_recovers_it,
  kills_while_the_way_to_the_server_was_cut_are_told_afterwards,
].map((test) => [test.name, test]);
