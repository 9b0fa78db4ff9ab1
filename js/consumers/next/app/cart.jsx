"use client";

import { useEffect, useState } from "react";
import { openSync } from "session-writer";

// The server has no storage.
const session = openSync("cart", { fallback: "memory" });

export function Cart() {
  const [entries, setEntries] = useState({});
  useEffect(() => {
    const show = () => setEntries(session.load());
    show();
    Object.assign(globalThis, { session });
    return session.subscribe(show);
  }, []);
  return <output>{JSON.stringify(entries)}</output>;
}
