// Has the tagger look again at pictures that have captions. It goes on while the member works on, also on no page at all.

import { choice } from "./dialog.js";
import { button, byId, count, node, refill } from "./dom.js";
import { Pace } from "./pace.js";

export class Recaption {
  constructor(api, dialog, many) {
    this.api = api;
    this.dialog = dialog;
    this.many = many;
    this.pace = null; // while there is something to wait for
    this.last = "";
    this.stopButton = button("Stop", () => this.stop(), "small");
    byId("recaption").addEventListener("click", () => this.question());
    addEventListener("visibilitychange", () => this.pace?.turned());
    addEventListener("online", () => this.pace?.now());
    this.watch(); // what was begun before the page was opened anew
  }

  question() {
    const mode = choice("What to do", this.many.dataset.choices.mode);
    const said = node("p", "dim", "The tagger takes a second or so for each picture. What it would change is shown before it is done.");
    this.dialog.open(`Re-caption ${this.many.chosen.whose()}`, [mode.label, said], "Begin", () => this.begin(mode.input.value));
  }

  async begin(mode) {
    const answer = await this.dialog.ask("POST", "api/recaption", { mode, ...this.many.chosen.scope() });
    if (!answer) return;
    this.dialog.close();
    this.draw(answer.value);
    this.watch();
  }

  watch() {
    this.last = "";
    this.pace = new Pace(() => this.look());
    return this.pace.now();
  }

  async look() {
    let found;
    try {
      found = await this.api.json("GET", "api/recaption");
    } catch (error) {
      if (error.status && error.status !== 429 && error.status < 500) return this.end();
      return { news: false, busy: true };
    }
    this.draw(found.value);
    if (found.value.state !== "looking") return this.end(found.value);
    const news = found.text !== this.last;
    this.last = found.text;
    return { news, busy: true };
  }

  end({ state, offer, said } = {}) {
    this.pace = null;
    this.draw({ state });
    if (state === "failed") this.dialog.done(said);
    if (state === "failed") this.stop();
    if (state === "offered") this.dialog.done("The tagger has looked again.", () => this.show(offer), "Show");
    return null;
  }

  show(offer) {
    byId("done").hidden = true;
    this.many.showOffer(offer);
    // Whoever closes it without Apply has decided, and can still think better of it on this page.
    this.dialog.box.addEventListener("close", () => {
      if (!byId("done").hidden) return;
      this.stop();
      this.dialog.done("Nothing was changed.", () => this.show(offer), "Show again");
    }, { once: true });
  }

  draw({ state, done, total }) {
    const line = byId("looking");
    line.hidden = state !== "looking";
    if (line.hidden) return;
    const bar = node("progress");
    bar.setAttribute("aria-label", "Pictures looked at");
    if (total) Object.assign(bar, { max: total, value: done });
    const words = total ? `The tagger looked at ${done} of ${count(total, "picture")}` : "The tagger begins to look";
    refill(line, [node("span", "", `${words} …`), this.stopButton, bar]);
  }

  // Before its next part; one that has ended is forgotten.
  async stop() {
    if (this.pace) byId("looking").firstChild.textContent = "Stopping …";
    await this.dialog.ask("DELETE", "api/recaption");
    await this.pace?.now();
  }
}
