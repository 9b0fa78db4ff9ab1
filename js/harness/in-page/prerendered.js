// A page that saves as soon as it is there, which may be before it is visited,
// and tells what it has seen when it is.
import "./page.js";

const session = await inPage.open();
const changes = inPage.recordChanges(session);
document.addEventListener("prerenderingchange", async () => {
  await inPage.until(() => changes.length === 2);
  const [{ activationStart }] = /** @type {any[]} */ (
    performance.getEntriesByType("navigation")
  );
  session.save({
    visited: {
      activated: activationStart > 0,
      told: changes[1],
      loaded: session.load(),
      errors: inPage.takeErrors(),
    },
  });
});
session.save({ prerendering: /** @type {any} */ (document).prerendering });
