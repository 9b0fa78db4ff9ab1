const assert = require("node:assert/strict");
const { open, openSync, SessionError } = require("session-writer");
const { MapStorage } = require("./map-storage.cjs");

process.exitCode = 1; // unless it comes to its end

async function main() {
  const inMemory = openSync("cart", { storage: "memory" });
  inMemory.save({ a: 1 });
  assert.deepEqual(inMemory.load(), { a: 1 });

  const storage = new MapStorage();
  const here = openSync("cart", { storage });
  here.save({ a: 1 });
  const there = await open("cart", { storage });
  const told = new Promise((resolve) => there.subscribe(resolve));
  here.save({ b: "ü" });
  assert.deepEqual((await told).set, { b: "ü" });
  assert.deepEqual(there.load(), { a: 1, b: "ü" });

  assert.throws(() => openSync("cart"), SessionError);
  process.exitCode = 0;
}

main();
