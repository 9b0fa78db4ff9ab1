/** The module as a text. build.js makes it out of the module; see inside.js. */
export declare const text: string;
