"use client";

import { openSync } from "session-writer";
import { useSession } from "session-writer/react";

// The server has no storage.
const session = openSync("cart", { fallback: "memory" });
Object.assign(globalThis, { session });

export function Cart() {
  return <output>{JSON.stringify(useSession(session))}</output>;
}
