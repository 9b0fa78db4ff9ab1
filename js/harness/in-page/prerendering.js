// A page that has another prerendered, and goes there when somebody has saved
// meanwhile.
import "./page.js";

const url = "/prerendered";
const rules = document.createElement("script");
rules.type = "speculationrules";
rules.textContent = JSON.stringify({
  prerender: [{ urls: [url], eagerness: "immediate" }],
});
document.head.append(rules);

const session = await inPage.open();
await inPage.until(() => session.get("meanwhile"));
location.href = url;
