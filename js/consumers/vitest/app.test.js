// @vitest-environment jsdom
import { openSync } from "session-writer";
import { expect, test } from "vitest";

test("a session is kept in the storage of jsdom", () => {
  const session = openSync("cart");
  session.save({ a: 1, "ä😀": "\uFEFFü" });
  expect(openSync("cart").load()).toEqual({ a: 1, "ä😀": "\uFEFFü" });
  expect(localStorage).toHaveLength(1);
});
