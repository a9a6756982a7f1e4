// What users write is text, wherever it is shown; and the page may do nothing that its policy does not name.
import { assert, assertClean, assertEqual, openLive } from "./browser.mjs";
import { eventually } from "./world.mjs";

const HOSTILE = [
  ["<img src=x onerror=window.pwned=1><script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"],
  [`"'><svg onload=window.pwned=1>&lt;b&gt;`, `"'><svg onload=window.pwned=1>&lt;b&gt;`],
  ["report-\u202efdp.exe", "report-\\xe2\\x80\\xaefdp.exe"],
  ["red \u001b[31malert\u0007", "red \\x1b[31malert\\x07"],
  ["javascript:window.pwned=1//../../%2e%2e", "javascript:window.pwned=1//../../%2e%2e"],
  ["é".repeat(127) + "x", "é".repeat(127) + "x"],
];

const names = (page) => page.locator("bdi").allTextContents();

async function assertHarmless(page, world, what) {
  assert(!(await page.evaluate(() => "pwned" in window)), `a script of a user ran on ${what}`);
  assertEqual(await page.locator("main img, main script, main iframe, svg[onload]").count(), 0, `elements that a user wrote on ${what}`);
  assertClean(page, world);
}

async function what_users_call_their_analyses_is_only_text(browser) {
  const world = await browser.world();
  await world.endLaunches();
  const page = await browser.page();
  await openLive(page, world.origin);
  const launches = HOSTILE.map(([id]) => world.grow(id, { steps: 1 }));
  for (const [id, shown] of HOSTILE) await eventually(async () => (await names(page)).includes(shown), `${JSON.stringify(id)} in the table as ${shown}`);
  await assertHarmless(page, world, "the dashboard");
  const { runs } = await world.get("/api/runs");
  for (const [id, shown] of HOSTILE) {
    const { run_id } = runs.find((run) => run.analysis_id === id) ?? {};
    assert(run_id, `no run of ${JSON.stringify(id)}`);
    await openLive(page, `${world.origin}/runs/${run_id}`);
    await eventually(async () => (await page.locator("h1 bdi").textContent()) === shown, `${shown} as heading`);
    await assertHarmless(page, world, shown);
  }
  // As the server has written it, before any script.
  const plain = await browser.page({ javaScriptEnabled: false });
  await plain.goto(world.origin);
  for (const [, shown] of HOSTILE) assert((await names(plain)).includes(shown), `${shown} without a script`);
  await openLive(page, world.origin);
  await Promise.all(HOSTILE.map(([id], i) => world.kill(launches[i], runs.find((run) => run.analysis_id === id).run_id)));
  for (const [id, shown] of HOSTILE)
    await eventually(async () => (await page.locator("#events bdi").allTextContents()).includes(shown), `${JSON.stringify(id)} among the kills`);
  await assertHarmless(page, world, "the feed");
}

async function the_policy_refuses_what_the_page_never_does(browser) {
  const world = await browser.world();
  const page = await browser.page();
  await openLive(page, world.origin);
  const refused = await page.evaluate(async () => {
    const seen = [];
    const three = new Promise((resolve) =>
      document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective) === 3 && resolve()),
    );
    const script = document.createElement("script");
    script.textContent = "window.pwned = 1";
    document.body.append(script);
    document.body.setAttribute("style", "color: red");
    await fetch("http://127.0.0.2:9/").catch(() => {});
    await three;
    return seen.sort();
  });
  assertEqual(refused, ["connect-src", "script-src-elem", "style-src-attr"], "what was refused");
  assert(!(await page.evaluate(() => "pwned" in window)), "a script within the page ran");
}

async function a_run_that_is_not_there_is_a_page_that_says_so(browser) {
  const world = await browser.world();
  const page = await browser.page();
  const response = await page.goto(`${world.origin}/runs/00000000-0000-7000-8000-000000000000`);
  assertEqual(response.status(), 404, "its status");
  await page.getByRole("link", { name: /live runs/i }).click();
  await page.locator("#figures").waitFor();
}

export const tests = [
  what_users_call_their_analyses_is_only_text,
  the_policy_refuses_what_the_page_never_does,
  a_run_that_is_not_there_is_a_page_that_says_so,
].map((test) => [test.name, test]);
