import { test } from "node:test";
import { killDuringSaves } from "../kills/rounds.js";
import { canBeKilled } from "./killable.js";

test(
  "after a kill there are whole batches, the first of each writer, and all that was there before",
  { timeout: 60_000, skip: !canBeKilled() && "nothing kills this browser" },
  async (t) => {
    const seed = Number(process.env.SEED || Date.now() % 1e6);
    t.diagnostic(`SEED=${seed}`);
    await killDuringSaves(
      seed,
      [
        { end: "kill", during: "tabs that come and go" },
        { end: "killRenderers", during: "tabs that come and go" },
        { end: "kill", during: "three tabs that stay" },
        { end: "kill", during: "tabs that come and go" },
        { end: "kill", during: "tabs that come and go" },
      ],
      (round, result) => t.diagnostic(JSON.stringify({ ...round, ...result })),
    );
  },
);
