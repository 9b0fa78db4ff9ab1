/** @jest-environment jsdom */
const { openSync } = require("session-writer");

test("a session is kept in the storage of jsdom", () => {
  const session = openSync("cart");
  session.save({ a: 1, "ä😀": "\uFEFFü" });
  expect(openSync("cart").load()).toEqual({ a: 1, "ä😀": "\uFEFFü" });
  expect(localStorage).toHaveLength(1);
});
