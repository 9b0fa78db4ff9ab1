// Shows a session that is in a worker, and saves into it: in a worker of the kind that
// the address says.
const kind = location.search.slice(1);
const start = {
  service: async () => {
    await navigator.serviceWorker.register("service-worker.js", {
      type: "module",
    });
    return (await navigator.serviceWorker.ready).active;
  },
  module: () => new Worker("worker.js", { type: "module" }),
  classic: () => new Worker("classic.js"),
};
const worker = await start[kind]();
const answers = kind === "service" ? navigator.serviceWorker : worker;
answers.onmessage = ({ data }) => {
  document.querySelector("output").textContent = JSON.stringify(data);
};
const save = (entries) => worker.postMessage(entries);
save({}); // It answers with what is there.
Object.assign(globalThis, { session: { save } });
