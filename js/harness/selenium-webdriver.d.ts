// Its types leave out one file, and Node finds another by its whole name only.

declare module "selenium-webdriver/net/portprober.js" {
  export function findFreePort(host?: string): Promise<number>;
}

declare module "selenium-webdriver/remote/index.js" {
  export * from "selenium-webdriver/remote.js";
}
