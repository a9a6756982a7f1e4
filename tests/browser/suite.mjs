// Runs the tests and says per test what became of it, as the other suites do: a line each, then the sum.
//
// A test is an entry of one of the lists below: a name that is a sentence, and a function that gets a browser and may
// throw. It has TEST_MS; nothing in it waits for a time, only for what should be seen, with limits that guard against
// a hang.
import { Browser } from "./browser.mjs";
import { tests as accessTests } from "./test-access.mjs";
import { tests as liveTests } from "./test-live.mjs";
import { tests as outageTests } from "./test-outage.mjs";
import { tests as pictureTests } from "./test-pictures.mjs";
import { tests as safetyTests } from "./test-safety.mjs";
import { tests as wordTests } from "./test-words.mjs";
import { Skip, World } from "./world.mjs";

const TEST_MS = 120000;

function limited(promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`no end after ${TEST_MS / 1000} s`)), TEST_MS)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function runOne([name, test], browser, counts) {
  const begin = performance.now();
  const tell = (word, text = "") => {
    const seconds = ((performance.now() - begin) / 1000).toFixed(2).padStart(7);
    console.log(`${word.padEnd(4)} ${seconds} s  browser.${name}${word === "skip" ? `: ${text}` : ""}`);
    if (word === "FAIL") text.split("\n").forEach((line) => console.log(`     | ${line}`));
    counts[word]++;
  };
  try {
    await limited(test(browser));
    tell("ok");
  } catch (error) {
    if (error instanceof Skip) tell("skip", error.message);
    else tell("FAIL", error.stack ?? String(error));
  }
  await browser.closePages();
  await World.stopOthers(browser.shared).catch((error) => tell("FAIL", `what it left could not be ended: ${error.stack}`));
}

const all = [...wordTests, ...liveTests, ...outageTests, ...accessTests, ...safetyTests, ...pictureTests];
const patterns = process.argv.slice(2);
const chosen = all.filter(([name]) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern)));
const counts = { ok: 0, FAIL: 0, skip: 0 };
const browser = await Browser.start();
try {
  for (const test of chosen) await runOne(test, browser, counts);
} finally {
  await browser.stop((problem) => {
    console.log(`FAIL    0.00 s  browser.end\n     | ${problem}`);
    counts.FAIL++;
  });
}
console.log(`${counts.ok} passed, ${counts.FAIL} failed, ${counts.skip} skipped`);
process.exit(counts.FAIL > 0 || counts.ok === 0 ? 1 : 0);
