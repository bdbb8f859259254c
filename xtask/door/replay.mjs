// Replays the recorded sequences with ioredis, each on a server of its own.
//
// usage: replay.mjs SEQUENCES SCRIPTS PORT..

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const { Redis } = require("ioredis");
const [path, scripts, ...ports] = process.argv.slice(2);
const { sequences } = JSON.parse(readFileSync(path, "utf8"));
const text = (name) => readFileSync(`${scripts}/${name}.lua`, "utf8");
const texts = {
  "<unlock>": text("unlock_if_owned_by_pull"),
  "<swap>": text("compare_and_swap_status"),
};

let count = 0;
for (const [index, { name, steps }] of sequences.entries()) {
  // It asks for INFO before it is ready, which is not served.
  const options = { port: Number(ports[index]), enableReadyCheck: false, maxRetriesPerRequest: 1 };
  const pool = [new Redis(options), new Redis(options)];
  for (const [number, { send, answer: expected }] of steps.entries()) {
    const words = send.map((word) => texts[word] ?? word);
    let answer;
    try {
      answer = await pool[number % 2].call(...words);
    } catch (error) {
      answer = `error: ${error.message}`;
    }
    const isError = typeof expected === "string" && expected.startsWith("error: ");
    const isSame = isError
      ? String(answer).startsWith("error: ") && answer.includes(expected.slice(7))
      : JSON.stringify(answer) === JSON.stringify(expected);
    if (!isSame) {
      console.error(`${name}: ${words.slice(0, 3)}: ${JSON.stringify(answer)} instead of ${JSON.stringify(expected)}`);
      process.exit(1);
    }
    count += 1;
  }
  pool.forEach((client) => client.disconnect());
}
console.log(`ioredis ${require("ioredis/package.json").version}: ${sequences.length} sequences, ${count} commands`);
