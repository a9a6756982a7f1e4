// For everybody: without a script, with the keyboard, in the dark, on a phone, with a screen reader.
import { assert, assertAccessible, assertClean, assertEqual, eventOf, openLive, rowOf } from "./browser.mjs";
import { eventually } from "./world.mjs";

/** A world in which something runs and something was killed. The run's id. */
async function populated(browser) {
  const world = await browser.world();
  await world.endLaunches();
  world.grow("SDA-here");
  await world.launch("--analysis-id", "SDA-gone", "--timeout", "1500ms", "--grace", "100ms", "--", "sleep", "100").ended;
  const gone = await eventually(async () => (await world.get("/api/events?analysis_id=SDA-gone")).events[0], "a kill");
  const { run_id } = await world.run("SDA-here");
  return { world, here: run_id, gone: gone.run_id };
}

async function without_a_script_the_pages_are_plain_tables(browser) {
  const { world, gone } = await populated(browser);
  const page = await browser.page({ javaScriptEnabled: false });
  await page.goto(world.origin);
  await rowOf(page, "SDA-here").waitFor();
  await eventOf(page, "SDA-gone").first().waitFor();
  assert((await page.content()).includes('<noscript><meta http-equiv="refresh"'), "the page does not renew itself");
  await page.goto(`${world.origin}/runs/${gone}`);
  await page.locator("#why", { hasText: "reached its time limit" }).waitFor();
  await page.locator("summary").click();
  assert((await page.locator("#run-events tr").count()) === 1, "its kill");
  assertClean(page, world);
}

async function the_keyboard_is_enough_and_keeps_its_place(browser) {
  const { world, here } = await populated(browser);
  const page = await browser.page();
  await openLive(page, world.origin);
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("href") ?? document.activeElement.id);
  await page.keyboard.press("Tab");
  assertEqual(await focused(), "#main", "what is focused first");
  await page.keyboard.press("Enter");
  assertEqual(await focused(), "main", "where that leads");
  await page.keyboard.press("Tab");
  assertEqual(await focused(), `/runs/${here}`, "the next link");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assertEqual(outline, "solid", "the focus is seen");
  // Two runs more, and an update of each figure, take nobody's place away.
  world.grow("later-1", { memory: "64M", step: 4, steps: 12, pause: 0 });
  world.grow("later-2", { memory: "64M", step: 4, steps: 12, pause: 0 });
  await rowOf(page, "later-1").waitFor();
  await rowOf(page, "later-2").waitFor();
  assertEqual(await focused(), `/runs/${here}`, "the focus after updates");
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "SDA-here" }).waitFor();
  assertClean(page, world);
}

async function axe_finds_nothing_serious(browser) {
  const { world, gone } = await populated(browser);
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.page({ colorScheme });
    await openLive(page, world.origin);
    await rowOf(page, "SDA-here").waitFor();
    await page.evaluate(() => document.getAnimations().forEach((animation) => animation.finish()));
    await assertAccessible(page, `the dashboard, ${colorScheme}`);
    await openLive(page, `${world.origin}/runs/${gone}`);
    await page.locator("#chart canvas").first().waitFor();
    await assertAccessible(page, `a run, ${colorScheme}`);
  }
}

async function dark_is_dark(browser) {
  const world = await browser.world();
  const lightness = async (colorScheme) => {
    const page = await browser.page({ colorScheme });
    await page.goto(world.origin);
    return page.evaluate(() => Math.max(...getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).slice(0, 3).map(Number)));
  };
  assert((await lightness("light")) > 200 && (await lightness("dark")) < 60, "the page ignores what the reader prefers");
}

async function a_phone_scrolls_downwards_only(browser) {
  const { world, gone } = await populated(browser);
  const long = "L".repeat(255);
  world.grow(long);
  const { run_id } = await world.run(long);
  for (const width of [320, 390]) {
    const page = await browser.page({ viewport: { width, height: 800 }, hasTouch: true, isMobile: true });
    for (const path of ["/", `/runs/${run_id}`, `/runs/${gone}`]) {
      await openLive(page, world.origin + path);
      const [content, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      assert(content <= shown && shown === width, `${path} is ${content} wide on a screen of ${width} (${shown})`);
    }
    await openLive(page, world.origin);
    assert(await rowOf(page, "SDA-here").locator(".c-memory").isVisible(), "the memory of a run");
  }
}

async function nothing_moves_for_who_wants_no_motion(browser) {
  const world = await browser.world();
  const page = await browser.page({ reducedMotion: "reduce" });
  await openLive(page, world.origin);
  await world.launch("--analysis-id", "still", "--timeout", "100ms", "--grace", "100ms", "--", "sleep", "100").ended;
  await eventOf(page, "still").waitFor();
  assertEqual(await eventOf(page, "still").evaluate((item) => getComputedStyle(item).animationName), "none", "its animation");
}

export const tests = [
  without_a_script_the_pages_are_plain_tables,
  the_keyboard_is_enough_and_keeps_its_place,
  axe_finds_nothing_serious,
  dark_is_dark,
  a_phone_scrolls_downwards_only,
  nothing_moves_for_who_wants_no_motion,
].map((test) => [test.name, test]);
