// A page that saves as soon as it is there, which may be before it is visited.
import "./page.js";

const session = await inPage.open();
const changes = inPage.recordChanges(session);
Object.assign(inPage.kept, { session, changes });
session.save({ prerendering: /** @type {any} */ (document).prerendering });
