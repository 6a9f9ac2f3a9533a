// Squares: what is cut out of each picture, whether trainings use it, and one picture's square moved (square.js).

import { button, byId, groupLine, node, sentenceOf } from "./dom.js";
import { LEVELS } from "./picture.js";
import { before } from "./cut.js";
import { Square } from "./square.js";

export class Squares {
  constructor(api, sheet, changed) {
    this.api = api;
    this.sheet = sheet;
    this.changed = changed; // have the page look for news
    this.moved = false;
    this.cuts = [];
    this.dialog = byId("squares");
    this.square = new Square(this);
    byId("look-square").addEventListener("click", () => this.openAt(sheet.look.card));
    this.dialog.addEventListener("close", () => { if (this.moved) this.changed(); });
    this.seen = new IntersectionObserver((entries) => this.appear(entries), { root: this.dialog, rootMargin: "300px" });
  }

  openButton() {
    return button("Squares", () => this.open(), "small");
  }

  // The squares of all pictures.
  async open() {
    const all = await this.ask("GET", "api/squares");
    if (all) this.show(all);
  }

  // One picture's square, from the picture looked at.
  async openAt(card) {
    const all = await this.ask("GET", "api/squares");
    if (!all) return;
    this.sheet.look.dialog.close();
    this.show(all);
    const cut = this.cuts.find((each) => each.picture === card.picture.id);
    if (cut) this.square.show(cut);
  }

  show(all) {
    this.cuts = all.cuts;
    byId("squares-title").textContent = "Squares";
    this.fill(node("p", "dim", all.what), this.choice(all), this.notes(all), this.grid(all.cuts));
    this.say(all.said || "");
    if (this.dialog.open) return;
    this.moved = false;
    this.dialog.showModal();
  }

  choice(all) {
    const row = node("div", "buttons");
    row.append(node("b", "", all.now));
    if (!this.sheet.editable) return row;
    for (const [square, words] of [[true, "Use squares"], [false, "Keep shapes"]]) {
      const made = button(words, () => this.use(square), "small");
      made.setAttribute("aria-pressed", String(square === all.used));
      row.append(made);
    }
    return row;
  }

  notes(all) {
    const list = node("ul", "notes");
    list.append(node("li", "", all.whole));
    if (Object.keys(all.squares).length) {
      const line = node("li");
      line.append("In squares: ", ...tally(all.squares), ". In their shapes: ", ...tally(all.shapes), ".");
      list.append(line);
    }
    list.append(...all.groups.map(groupLine));
    return list;
  }

  grid(cuts) {
    this.seen.disconnect();
    const list = node("div", "cuts");
    for (const cut of cuts) {
      const made = button("", () => this.square.show(cut), "cut");
      made.setAttribute("aria-label", `Square of picture ${cut.number}, ${cut.name}${cut.level ? `: ${LEVELS[cut.level]}` : ""}`);
      made.dataset.level = cut.level || "";
      made.dataset.picture = cut.picture;
      made.append(before(cut), node("span", "badge", cut.number));
      this.seen.observe(made);
      list.append(made);
    }
    return list;
  }

  appear(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.seen.unobserve(target);
      this.small(Number(target.dataset.picture)).then((url) => { target.querySelector("img").src = url; }, () => {});
    }
  }

  // The address of a small picture: the sheet's, if it is there still.
  small(id) {
    return this.sheet.cards.get(id)?.small() ?? Promise.reject(new Error("it was removed"));
  }

  async use(square) {
    const all = await this.ask("POST", "api/squares", { use: square });
    if (!all) return;
    this.moved = true;
    this.show(all);
  }

  // The keyboard stays on the button of the same words, or in the dialog where it cannot be pressed any more.
  fill(...parts) {
    const held = document.activeElement?.textContent;
    byId("squares-body").replaceChildren(...parts);
    const buttons = [...this.dialog.querySelectorAll("button:not(:disabled)")];
    (buttons.find((each) => each.textContent === held) || buttons[0]).focus();
  }

  say(words) {
    byId("squares-said").textContent = words;
  }

  // The bot's answer; none when it refused or was not reached, which is said.
  async ask(method, path, body) {
    try {
      return (await this.api.json(method, path, body)).value;
    } catch (error) {
      if (this.dialog.open) this.say(sentenceOf(error));
      else this.sheet.dialog.done(sentenceOf(error));
      return null;
    }
  }
}

function tally(levels) {
  const parts = Object.entries(levels).map(([level, number]) => node("b", `level ${level}`, `${number} ${LEVELS[level].toLowerCase()}`));
  return parts.flatMap((each, place) => (place ? [", ", each] : [each]));
}
