/**
 * Whether tests that are worth more the longer they take are to take long, as
 * they do in make test-all.
 */
export const long = Boolean(process.env.LONG);
