"use client";

import { useState } from "react";
import { openSync } from "session-writer";
import { useSession } from "session-writer/react";

export function Cart({ initial }) {
  // One for each visitor whom the server renders it for, which has no storage.
  const [session] = useState(() => {
    const session = openSync("cart", { initial, fallback: "memory" });
    if (typeof window === "object") Object.assign(window, { session });
    return session;
  });
  return <output>{JSON.stringify(useSession(session))}</output>;
}
