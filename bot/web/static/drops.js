// What is dropped and brought back: the report's red pictures, and those a member removes.

import { button, count, node } from "./dom.js";

export class Drops {
  constructor(dialog) {
    this.dialog = dialog;
  }

  dropButton(report) {
    return button(`Drop ${report.red} red`, () => this.askDrop(report), "small danger");
  }

  backButton(report) {
    return button(`Bring ${report.dropped} back`, () => this.bringBack({}), "small");
  }

  askDrop(report) {
    const said = `${count(report.red, "picture")} with their captions. You can bring them back for some days.`;
    this.dialog.open(`Drop ${report.red} red?`, [node("p", "", said)], "Drop", () => this.dropRed(report.digest));
  }

  async dropRed(digest) {
    const answer = await this.dialog.tell("POST", "api/red", { digest });
    if (!answer) return;
    const { dropped, drop, days } = answer.value;
    this.dialog.close(answer.mark);
    this.gone(`${count(dropped, "picture")} dropped. They`, days, { drop });
    await this.dialog.changed();
  }

  askChosen(pictures) {
    const said = "With their captions. You can bring them back for some days.";
    this.dialog.open(`Remove ${count(pictures.length, "picture")}?`, [node("p", "", said)], "Remove", () => this.dropChosen(pictures));
  }

  async dropChosen(pictures) {
    const answer = await this.dialog.tell("POST", "api/drop", { pictures });
    if (!answer) return;
    const { dropped, drop, days } = answer.value;
    this.dialog.close(answer.mark);
    // By one of them, as others may be dropped before Undo; unless some were gone already, perhaps with those others.
    const which = dropped === pictures.length ? { picture: pictures[0] } : { drop };
    this.gone(`${count(dropped, "picture")} removed. They`, days, which);
    await this.dialog.changed();
  }

  // Says that pictures were removed; `which` names their drop.
  gone(words, days, which) {
    this.dialog.done(`${words} can be brought back for ${days} days.`, () => this.bringBack(which));
  }

  async bringBack(which) {
    const answer = await this.dialog.tell("POST", "api/drop/undo", which);
    if (!answer) return;
    const { back, again } = answer.value;
    const rest = again ? ` ${count(again, "picture")} had been added again meanwhile.` : "";
    this.dialog.done(`${count(back, "picture")} brought back, with captions.${rest}`);
    await this.dialog.changed();
  }
}
