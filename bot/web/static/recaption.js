// Has the tagger look again at pictures that have captions. It goes on while the member works on, also on no page at all.
// How far it is, and what came of it until that is decided, stands in a line of its own: messages come and go below it.

import { choice } from "./dialog.js";
import { button, byId, count, node, refill } from "./dom.js";
import { Pace } from "./pace.js";

const LOST = "The re-caption is gone: the bot was restarted, or you decided elsewhere. Begin it again if you want it.";
const STOPPED = { state: "failed", said: "You stopped it; nothing was changed." };

export class Recaption {
  constructor(api, dialog, many) {
    this.api = api;
    this.dialog = dialog;
    this.many = many;
    this.pace = null; // while there is something to wait for
    this.stopButton = button("Stop", () => this.stop(), "small");
    this.ways = node("div", "buttons");
    this.ways.append(button("Show", () => this.show(), "small first"), button("Discard", () => this.discard(), "small"));
    byId("recaption").addEventListener("click", () => this.question());
    addEventListener("visibilitychange", () => this.pace?.turned());
    addEventListener("online", () => this.pace?.now());
    this.watch({}); // what was begun before the page was opened anew
  }

  question() {
    const mode = choice("What to do", this.many.dataset.choices.mode);
    const said = node("p", "dim", "The tagger takes a second or so for each picture. What it would change is shown before it is done.");
    const { chosen } = this.many;
    const scope = chosen.scope(); // now: those that are chosen may be removed before Begin is pressed
    this.dialog.open(`Re-caption ${chosen.whose()}`, [mode.label, said], "Begin", () => this.begin(mode.input.value, scope));
  }

  async begin(mode, scope) {
    const answer = await this.dialog.tell("POST", "api/recaption", { mode, ...scope });
    if (!answer) return;
    this.dialog.close(answer.mark);
    this.watch(answer.value);
  }

  // From what the bot said last until there is nothing more to wait for.
  watch(seen) {
    this.pace?.rest();
    this.stopped = false;
    this.last = "";
    this.saw(seen);
    const pace = new Pace(() => this.look(pace));
    this.pace = pace;
    return pace.now();
  }

  async look(pace) {
    let found;
    try {
      found = await this.api.json("GET", "api/recaption");
    } catch (error) {
      found = { refused: error.status && error.status !== 429 && error.status < 500 };
    }
    if (this.pace !== pace) return null; // another was begun since it was asked
    if (found.refused) return this.end({});
    if (!found.value) return { news: false, busy: true };
    if (found.value.state !== "looking") return this.end(found.value);
    const news = found.text !== this.last;
    this.last = found.text;
    this.saw(found.value);
    return { news, busy: true };
  }

  end(found) {
    const seen = found.state === "offered" && this.stopping() ? STOPPED : found; // it ended before Stop was heard
    const lost = seen.state === "none" && this.seen.state === "looking" && !this.stopping();
    this.pace = null;
    this.saw(seen);
    if (lost) this.dialog.done(LOST);
    if (seen.state === "failed") {
      this.dialog.done(seen.said);
      this.dialog.tell("DELETE", "api/recaption"); // it was said
    }
    return null;
  }

  show() {
    this.many.showOffer(this.seen.offer, () => this.saw({}));
  }

  // Whoever discards it can still think better of it on this page.
  async discard() {
    const { offer } = this.seen;
    if (!await this.dialog.tell("DELETE", "api/recaption")) return;
    this.saw({});
    this.dialog.done("Nothing was changed.", () => this.many.showOffer(offer), "Show again");
  }

  saw(seen) {
    this.seen = seen;
    byId("looking").hidden = seen.state !== "looking" && seen.state !== "offered";
    if (seen.state === "looking") this.drawLooking(seen);
    if (seen.state === "offered") refill(byId("looking"), [node("span", "", "The tagger has looked again"), this.ways]);
  }

  drawLooking({ done, total }) {
    const bar = node("progress");
    bar.setAttribute("aria-label", "Pictures looked at");
    if (total) Object.assign(bar, { max: total, value: done });
    const words = total ? `The tagger looked at ${done} of ${count(total, "picture")} …` : "The tagger begins to look …";
    const parts = this.stopping() ? [node("span", "", "Stopping …")] : [node("span", "", words), this.stopButton];
    refill(byId("looking"), [...parts, bar]);
  }

  // It ends before its next part, which takes a while; also when an answer from before Stop comes after it.
  stopping() {
    return this.stopped || this.seen.stopping;
  }

  async stop() {
    this.stopped = true;
    this.saw(this.seen);
    if (!await this.dialog.tell("DELETE", "api/recaption")) this.stopped = false;
    await this.pace?.now();
  }
}
