// The script's words are the programs' words, and its stream is read however it is cut: the modules as they are, no page.
import { cpuRates, marksOf } from "../../status/web/src/chart.mjs";
import { eventParser } from "../../status/web/src/stream.mjs";
import { formatAge, formatBytes, formatSeconds, visible } from "../../status/web/src/text.mjs";
import { assertEqual } from "./browser.mjs";

function figures_read_as_scidexctl_writes_them() {
  const bytes = [[0, "0 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [10 * 1024, "10 KiB"], [(1 << 20) - 1, "1.0 MiB"], [312 << 20, "312 MiB"], [2 ** 31 - 4096, "2.0 GiB"], [1.5 * 2 ** 40, "1.5 TiB"], [NaN, "unknown"]];
  for (const [value, text] of bytes) assertEqual(formatBytes(value), text, `${value} bytes`);
  const seconds = [[0, "0s"], [0.04, "40ms"], [1.25, "1.25s"], [59.999, "59s"], [192.4, "3min 12s"], [7500, "2h 5min"], [3600, "1h"], [97200, "1d 3h"]];
  for (const [value, text] of seconds) assertEqual(formatSeconds(value), text, `${value} seconds`);
  assertEqual(formatAge(1.9), "1s", "an age");
}

function what_cannot_be_seen_is_made_visible() {
  assertEqual(visible("a\u202eb\u0007\u009f\u2066"), "a\\xe2\\x80\\xaeb\\x07\\xc2\\x9f\\xe2\\x81\\xa6", "marks and controls");
  assertEqual(visible("שלום é <b>&"), "שלום é <b>&", "letters of any script");
}

function a_stream_is_read_however_it_is_cut() {
  const text = 'retry: 2000\n\n: comment\nevent: event\r\nid: 7\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: update\ndata: x\n\n';
  const whole = [{ event: "event", data: '{"a":\n1}', id: "7" }, { event: "update", data: "x", id: undefined }];
  for (let size = 1; size <= text.length; size++) {
    const messages = [];
    let retry = 0;
    const feed = eventParser((message) => messages.push(message), (ms) => (retry = ms));
    for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size));
    assertEqual(messages, whole, `in pieces of ${size}`);
    assertEqual(retry, 2000, "retry");
  }
}

function a_chart_marks_what_was_done_in_its_order() {
  const run = { launched_at: "2026-11-21T07:00:00Z" };
  const events = [
    { reason: "timeout", decided_at: "2026-11-21T07:00:10Z", term_at: "2026-11-21T07:00:10Z", kill_at: "2026-11-21T07:00:20Z" },
    { reason: "memory", decided_at: "2026-11-21T07:00:05Z", term_at: null, kill_at: null },
  ];
  assertEqual(
    marksOf({ run, events, warned_at: "2026-11-21T07:00:08Z" }),
    [{ at: 5, name: "memory" }, { at: 8, name: "warned" }, { at: 10, name: "TERM" }, { at: 20, name: "KILL" }],
    "marks",
  );
  assertEqual(cpuRates([0, 2, 4, 4], [0, 1, 5, 6]), [null, 0.5, 2, null], "processors in use");
}

export const tests = [
  figures_read_as_scidexctl_writes_them,
  what_cannot_be_seen_is_made_visible,
  a_stream_is_read_however_it_is_cut,
  a_chart_marks_what_was_done_in_its_order,
].map((test) => [test.name, async () => test()]);
