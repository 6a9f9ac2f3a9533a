// Pictures a member chose: what is done in bulk is then done to them alone.

import { button, byId, count, node, refill } from "./dom.js";

export class Chosen {
  constructor(sheet) {
    this.sheet = sheet;
    this.on = false;
    this.ids = new Set();
    this.last = null; // chosen last: Shift reaches from there
    this.buttons = null;
    byId("choose").addEventListener("click", () => this.turn(!this.on));
    byId("pictures").addEventListener("click", (event) => this.pressed(event), true);
  }

  // The ids, in the order of the pictures; none while all are meant.
  list() {
    return [...this.sheet.cards.keys()].filter((id) => this.ids.has(id));
  }

  // For the bot: which pictures a bulk edit is about.
  scope() {
    const pictures = this.list();
    return pictures.length ? { pictures } : {};
  }

  // "all 12 pictures", "3 chosen pictures".
  whose() {
    const chosen = this.list().length;
    return chosen ? `${chosen} chosen ${chosen === 1 ? "picture" : "pictures"}` : `all ${count(this.sheet.size(), "picture")}`;
  }

  turn(on) {
    this.on = on;
    if (!on) this.ids.clear();
    this.last = null;
    this.sheet.draw();
  }

  // A picture or its box was pressed; while nothing is being chosen that is none of ours.
  pressed(event) {
    const element = event.target.closest(".picture");
    if (!this.on || !event.target.closest(".thumb, .pick")) return;
    event.stopPropagation();
    if (event.target.matches("label.pick")) return; // the box itself is pressed next
    const id = Number(element.dataset.picture);
    const choose = !this.ids.has(id);
    for (const each of event.shiftKey && this.last !== null ? this.between(this.last, id) : [id]) {
      if (choose) this.ids.add(each);
      else this.ids.delete(each);
    }
    this.last = id;
    this.sheet.draw();
  }

  // Both ends and what is shown between them.
  between(one, other) {
    const shown = this.shown();
    const places = [shown.indexOf(one), shown.indexOf(other)].sort((a, b) => a - b);
    return places[0] < 0 ? [other] : shown.slice(places[0], places[1] + 1);
  }

  shown() {
    return [...this.sheet.cards].filter(([, card]) => !card.element.hidden).map(([id]) => id);
  }

  draw() {
    if (!this.sheet.editable) this.on = false;
    const chosen = this.on ? this.list() : [];
    this.ids = new Set(chosen);
    byId("choose").hidden = !this.sheet.editable;
    byId("choose").setAttribute("aria-pressed", String(this.on));
    byId("pictures").classList.toggle("choosing", this.on);
    for (const [id, card] of this.sheet.cards) card.choose(this.ids.has(id), this.on);
    byId("chosen").hidden = !this.on;
    if (this.on) this.drawLine(chosen);
  }

  drawLine(chosen) {
    const shown = new Set(this.shown());
    const hidden = chosen.filter((id) => !shown.has(id)).length;
    const words = `${chosen.length} chosen${hidden ? `, ${hidden} not shown` : ""}`;
    const acts = this.acts();
    for (const each of acts.slice(1)) each.disabled = !chosen.length;
    const said = node("span", "", words);
    said.setAttribute("role", "status");
    refill(byId("chosen"), [said, ...acts]);
  }

  acts() {
    this.buttons ??= [
      button("All shown", () => { this.ids = new Set([...this.ids, ...this.shown()]); this.sheet.draw(); }, "small"),
      button("None", () => { this.ids.clear(); this.sheet.draw(); }, "small"),
      button("Add tags", () => this.sheet.many.askAdd(), "small"),
      button("Replace", () => this.sheet.many.askReplace(), "small"),
      button("Re-caption", () => this.sheet.recaption.question(), "small"),
      button("Remove", () => this.sheet.drops.askChosen(this.list()), "small danger"),
    ];
    return this.buttons;
  }
}
