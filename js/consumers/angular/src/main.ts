import { Component, signal } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { openSync } from "session-writer";

@Component({
  selector: "app-cart",
  template: "<output>{{ text() }}</output>",
})
class Cart {
  readonly #session = openSync("cart");
  readonly text = signal("");

  constructor() {
    const show = () => this.text.set(JSON.stringify(this.#session.load()));
    this.#session.subscribe(show);
    show();
    Object.assign(globalThis, { session: this.#session });
  }
}

await bootstrapApplication(Cart);
