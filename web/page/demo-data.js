// What the demonstration stores, in both of its forms, and what was typed into them.

/** The fields of the form. */
export const fields = /** @type {const} */ (["name", "city"]);

/** @typedef {typeof fields[number]} Field */
/** @typedef {Partial<Record<Field, string>>} Values */

/** The session that one form saves into. */
export const SESSION = "profile";

/** The key under which the other form keeps all of its state. */
export const STATE = "profile-state";

/** The ids of the forms in the page. */
export const forms = /** @type {const} */ (["json", "writer"]);

/** @typedef {typeof forms[number]} Form */

/**
 * What was typed last into a field, in whatever tab.
 *
 * @typedef {object} Edit
 * @property {string} value
 * @property {string} tab where
 */

/**
 * Each field of each form has a key of its own. So this record loses nothing, whatever
 * the forms lose.
 *
 * @param {Form} form
 * @param {Field} field
 */
const editKey = (form, field) => `profile-typed-${form}-${field}`;

/**
 * @param {Form} form
 * @param {Field} field
 * @param {Edit} edit
 */
export function recordEdit(form, field, edit) {
  localStorage.setItem(editKey(form, field), JSON.stringify(edit));
}

/**
 * @param {Form} form
 * @param {Field} field
 * @returns {Edit | undefined}
 */
export function lastEdit(form, field) {
  const text = localStorage.getItem(editKey(form, field));
  return text === null ? undefined : JSON.parse(text);
}

/** Empties both forms in all tabs. */
export async function startAgain() {
  const { openSync } = await import("./session-writer/index.js");
  const session = openSync(SESSION);
  // The record first: nothing that goes now is lost.
  for (const form of forms) {
    for (const field of fields) {
      localStorage.removeItem(editKey(form, field));
    }
  }
  localStorage.removeItem(STATE);
  session.clear();
  session.close();
}
