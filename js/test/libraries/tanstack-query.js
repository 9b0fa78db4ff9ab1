import { hydrate, QueryClient } from "@tanstack/query-core";
import { persistQueryClient } from "@tanstack/query-persist-client-core";
import { openSync } from "session-writer";
import { queryPersister } from "session-writer/storage";

const queryClient = new QueryClient();
const persister = queryPersister(openSync("state"));
const [, restored] = persistQueryClient({ queryClient, persister });
await restored;
persister.subscribe((state) => hydrate(queryClient, state));

export function set(/** @type {object} */ members) {
  for (const [key, value] of Object.entries(members)) {
    queryClient.setQueryData([key], value);
  }
}
export const get = () =>
  Object.fromEntries([
    ["ready", true],
    ...queryClient
      .getQueryCache()
      .getAll()
      .map(({ queryKey, state }) => [queryKey[0], state.data]),
  ]);
