// The Worker: what live.js does, before what workers-assets-gen has generated to run Go.
import worker from "./dist/worker/worker.mjs";
import { before } from "./live.js";

export { Live } from "./live.js";
export default { fetch: before(worker.fetch), scheduled: worker.scheduled };
