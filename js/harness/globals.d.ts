declare global {
  /** What page.js gives the test bodies, in the page. */
  var inPage: typeof import("./in-page/page.js");
}

export {};
