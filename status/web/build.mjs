// Makes one script of the modules in src, called by meson: build.mjs OUTPUT LIBRARY MODULE...
//
// The modules are put one behind the other in the order given, in one function, without their import and export words:
// so names must be unique among them, which parsing the result proves. Tests import the modules as they are.
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import vm from "node:vm";

const [output, library, ...modules] = process.argv.slice(2);
const others = readFileSync(library, "utf8");

function plain(path) {
  const text = readFileSync(path, "utf8")
    .replace(/^import [^;]* from "\.\/[a-z-]+\.mjs";\n/gm, "")
    .replace(/^export (?=const |let |function |async function |class )/gm, "");
  if (/^(import|export)\b/m.test(text)) throw new Error(`${path}: only named imports from "./*.mjs" and named exports`);
  return `// ${basename(path)}\n${text}`;
}

if (others === "") {
  writeFileSync(output, "");
} else {
  const own = `(() => {\n"use strict";\n${modules.map(plain).join("\n")}})();\n`;
  new vm.Script(own, { filename: output });
  writeFileSync(output, `${others}\n${own}`);
}
