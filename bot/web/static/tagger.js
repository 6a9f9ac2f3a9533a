// How the tagger writes this dataset's captions: its options in one form.

import { box, choice, field, paragraph } from "./dialog.js";
import { button, byId, node } from "./dom.js";

export class Tagger {
  constructor(dialog) {
    this.dialog = dialog;
    byId("tagger").addEventListener("click", () => this.open());
  }

  async open() {
    const answer = await this.dialog.ask("GET", "api/tagger");
    if (answer) this.show(answer.value);
  }

  show(now) {
    const [label, about] = [0, 1].map((place) => (name) => now.labels[name][place]);
    const fields = {
      model: choice("Model", now.models, now.model),
      cut: field(label("cut"), now.cut, about("cut")),
      profile: choice("Profile", now.profiles, now.profile),
      characters: choice("Known characters", now.names, now.characters),
      ratings: choice("Rating", now.rating_places, now.ratings),
      underscores: box(now.spelling, now.underscores),
      undesired: paragraph(label("undesired"), now.undesired, about("undesired")),
      replacements: paragraph(label("replacements"), now.replacements, about("replacements")),
      first: paragraph(label("first"), now.first, about("first")),
    };
    const said = node("p", "dim", "For pictures to come; Re-caption has those that are here done anew.");
    const usual = button("Back to what is usual", () => this.send("DELETE"), "small");
    this.dialog.open("Tagger options", [said, ...Object.values(fields).map((each) => each.label), usual], "Save", () => this.save(fields));
  }

  save(fields) {
    const values = Object.entries(fields).map(([name, { input }]) => [name, input.type === "checkbox" ? input.checked : input.value]);
    return this.send("PUT", Object.fromEntries(values));
  }

  async send(method, values) {
    const answer = await this.dialog.tell(method, "api/tagger", values);
    if (!answer) return;
    this.dialog.close(answer.mark);
    this.dialog.done(values ? "Tagger options saved." : "The tagger's options are the usual ones again.");
  }
}
