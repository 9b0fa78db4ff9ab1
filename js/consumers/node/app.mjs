import assert from "node:assert/strict";
import { open, openSync, SessionError } from "session-writer";
import { open as openStreaming } from "session-writer/streaming";
import { MapStorage } from "./map-storage.cjs";

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

const streaming = await openStreaming("cart", { storage });
assert.deepEqual(streaming.load(), { a: 1, b: "ü" });

assert.throws(() => openSync("cart"), SessionError);
