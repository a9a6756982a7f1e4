// A supervisor of a test's own: its socket, record, tree and port, so that nothing of the machine is touched, and the
// launches under it. What World is for the tests in Python (tests/support/scidextest.py).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BUILD = process.env.SCIDEX_BUILD;
const WAIT_MS = 30000;
const LOOK_MS = 20;

export class Skip extends Error {}

/** Until condition() gives something true; what it throws counts as not yet. */
export async function eventually(condition, what, limit = WAIT_MS) {
  const end = performance.now() + limit;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`not within ${limit / 1000} s: ${what} (last: ${last})`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

const quietly = (act) => {
  try {
    return act();
  } catch {
    return undefined;
  }
};

/** A directory for the tree, where this user may make one; under systemd scidex finds a place of its own. */
function makeTree(name) {
  const line = readFileSync("/proc/self/mountinfo", "utf8").split("\n").find((text) => text.includes(" - cgroup2 "));
  if (!line || process.geteuid() !== 0 || existsSync("/run/systemd/system")) return null;
  const parent = join(line.split(" ")[4], name);
  if (quietly(() => mkdirSync(parent) ?? true) === undefined) return null;
  for (const controller of readFileSync(join(parent, "cgroup.controllers"), "utf8").split(/\s+/).filter(Boolean))
    quietly(() => writeFileSync(join(parent, "cgroup.subtree_control"), `+${controller}`));
  mkdirSync(join(parent, "tree"));
  return parent;
}

function removeTree(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(directory, entry.name));
  rmdirSync(directory);
}

const worlds = new Set(); // those that have not been stopped

export class World {
  /** Stops what a test that was given up has left, all but one. */
  static async stopOthers(kept) {
    for (const world of [...worlds]) if (world !== kept) await world.stop();
  }

  static async start() {
    const world = new World();
    worlds.add(world);
    world.directory = mkdtempSync(join(tmpdir(), "sx-"));
    world.port = await freePort();
    world.origin = `http://127.0.0.1:${world.port}`;
    for (const name of ["run", "state"]) mkdirSync(join(world.directory, name), { mode: 0o700 });
    world.tree = makeTree(world.directory.split("/").at(-1));
    world.launches = [];
    try {
      await world.startSupervisor();
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  environment() {
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("SCIDEX_")));
    return {
      ...inherited,
      ...(this.tree ? { SCIDEX_TREE: join(this.tree, "tree") } : {}),
      SCIDEX_SOCKET: join(this.directory, "run", "control"),
      SCIDEX_HTTP_LISTEN: `127.0.0.1:${this.port}`,
      XDG_RUNTIME_DIR: join(this.directory, "run"),
      XDG_STATE_HOME: join(this.directory, "state"),
      XDG_CONFIG_HOME: this.directory,
      NO_COLOR: "1",
    };
  }

  program(name) {
    const path = join(BUILD, "cmd", name);
    accessSync(path, constants.X_OK);
    return path;
  }

  async startSupervisor() {
    const log = openSync(join(this.directory, "daemon.log"), "a");
    this.supervisor = spawn(this.program("scidex-supervisor"), ["--daemon"], { env: this.environment(), stdio: ["ignore", log, log] });
    await eventually(
      async () => {
        if (this.supervisor.exitCode !== null) throw new Error(this.log());
        return (await fetch(`${this.origin}/healthz`)).ok;
      },
      "the supervisor serves its pages",
    );
  }

  /** Pids of a program of this world, whoever has started it: launchers start a supervisor that has died again. */
  pids(name) {
    const mark = `\0SCIDEX_SOCKET=${join(this.directory, "run", "control")}\0`;
    const isOurs = (pid) =>
      readFileSync(`/proc/${pid}/comm`, "utf8").trimEnd().startsWith(name.slice(0, 15)) &&
      `\0${readFileSync(`/proc/${pid}/environ`, "utf8")}`.includes(mark) &&
      !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && quietly(() => isOurs(pid))).map(Number);
  }

  /** Sends a signal to the supervisor and its recorder. */
  signalSupervisor(signal) {
    for (const pid of [...this.pids("scidex-supervisor"), ...this.pids("scidex-recorder")]) quietly(() => process.kill(pid, signal));
  }

  async endSupervisor() {
    for (const pid of this.pids("scidex-supervisor")) quietly(() => process.kill(pid, "SIGTERM"));
    await eventually(() => this.pids("scidex-supervisor").length + this.pids("scidex-recorder").length === 0, "supervisor and recorder end");
  }

  /** Ends the main process of a launch, whatever it makes of signals: the launcher's child. */
  endMain(launch) {
    const list = quietly(() => readFileSync(`/proc/${launch.pid}/task/${launch.pid}/children`, "utf8")) ?? "";
    const children = list.split(" ").filter(Boolean);
    for (const pid of children) quietly(() => process.kill(Number(pid), "SIGKILL"));
    return launch.ended;
  }

  async ctl(...args) {
    await once(spawn(this.program("scidexctl"), args, { env: this.environment(), stdio: "ignore" }), "exit");
  }

  /** Kills a run as people do, and waits for its launcher. */
  async kill(launch, runId) {
    await this.ctl("kill", runId);
    await launch.ended;
  }

  log() {
    return quietly(() => readFileSync(join(this.directory, "daemon.log"), "utf8")) ?? "";
  }

  /** scidex-run with arguments; it ends with the world. */
  launch(...args) {
    const log = openSync(join(this.directory, "runs.log"), "a");
    const launch = spawn(this.program("scidex-run"), args, { env: this.environment(), stdio: ["ignore", log, log] });
    launch.ended = once(launch, "exit");
    this.launches.push(launch);
    return launch;
  }

  /** A run that takes memory step by step and then waits for its end; the second half only once a file `gate` is there. */
  grow(id, { memory = "256M", timeout = "10min", step = 8, steps = 10, pause = 0.1, gate = "/", more = [] } = {}) {
    const program = `import os, time\nheld = []\nfor i in range(${steps}):\n    while i >= ${steps / 2} and not os.path.exists("${gate}"):\n        time.sleep(0.05)\n    held.append(bytearray(b"x") * (${step} << 20))\n    time.sleep(${pause})\ntime.sleep(3600)`;
    return this.launch("--analysis-id", id, "--memory", memory, "--timeout", timeout, "--grace", "1s", ...more, "--", "python3", "-c", program);
  }

  async get(path) {
    const response = await fetch(this.origin + path);
    if (!response.ok) throw new Error(`${path}: HTTP ${response.status}: ${await response.text()}`);
    return response.json();
  }

  /** The live run of an analysis, once it is there. */
  run(id) {
    return eventually(
      async () => (await this.get(`/api/runs?analysis_id=${encodeURIComponent(id)}`)).runs.find((run) => run.state !== "ended"),
      `a live run of ${id}`,
    );
  }

  async endLaunches() {
    const alive = this.launches.filter((launch) => launch.exitCode === null && launch.signalCode === null);
    await Promise.all(alive.map((launch) => this.endMain(launch)));
    this.launches = [];
  }

  async stop() {
    if (!worlds.delete(this)) return;
    await this.endLaunches();
    await this.endSupervisor();
    if (this.tree) await eventually(() => removeTree(this.tree) ?? true, "the tree can be removed");
    rmSync(this.directory, { recursive: true, force: true });
  }
}
