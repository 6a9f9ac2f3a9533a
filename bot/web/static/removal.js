// Removes one picture: so that Undo brings it back, or for good.

import { button, sentenceOf } from "./dom.js";

const QUESTION = "Remove this picture and its caption? Undo brings them back. For good keeps nothing of them.";

export class Removal {
  constructor(card) {
    this.card = card;
  }

  ask() {
    const yes = button("Remove", () => this.remove(), "small danger");
    const good = button("For good", () => this.forGood(), "small");
    const no = button("Keep", () => this.card.keep(), "small");
    this.card.ask(QUESTION, "", yes, good, no);
    no.focus();
  }

  async remove() {
    const { sheet, picture } = this.card;
    const answer = await this.take("POST", "api/drop", { pictures: [picture.id] });
    if (answer) sheet.drops.gone(`${picture.name} is removed and`, answer.value.days, { picture: picture.id });
  }

  forGood() {
    return this.take("DELETE", `api/picture/${this.card.picture.id}`);
  }

  // Have the bot take it out; its answer, none where it did not or somebody else had.
  async take(method, path, body) {
    const { sheet } = this.card;
    let answer = null;
    try {
      answer = await sheet.api.json(method, path, body);
    } catch (error) {
      if (error.status !== 404) {
        this.card.say(sentenceOf(error), "bad");
        return null;
      }
    }
    sheet.removed(this.card);
    return answer;
  }
}
