import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Returns the path of a program: what the environment variable says, or the
 * first of the names on the PATH, or else in some other folders.
 *
 * @param {string} variable
 * @param {string[]} names
 * @param {string[]} [others]
 */
export function executable(variable, names, others = []) {
  const given = process.env[variable];
  if (given) {
    if (!isExecutable(given)) {
      throw new Error(`${variable} is ${given}, which cannot be executed`);
    }
    return given;
  }
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...others];
  const found = names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find(isExecutable);
  if (!found) {
    throw new Error(
      `none of ${names.join(", ")} is on the PATH: install one, or set ${variable} to its path`,
    );
  }
  return found;
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
