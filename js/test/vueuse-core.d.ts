// What is used of VueUse, whose own types need some that TypeScript 5.9 does not have.
import type { Ref } from "vue";

export function useStorage<T>(
  key: string,
  defaults: T,
  storage: object,
): Ref<T>;
