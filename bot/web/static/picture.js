// One picture of the sheet: its frame, its caption edited in place, its removal.

import { button, node } from "./dom.js";
import { Removal } from "./removal.js";

const RETRY_SECONDS = 4; // before a small picture that did not come is asked for again
export const LEVELS = { red: "Better dropped", amber: "To look at", green: "Good" };

export class PictureCard {
  constructor(sheet, picture) {
    this.sheet = sheet;
    this.picture = picture;
    this.place = 0;
    this.choosing = false; // a press on the picture chooses it
    this.removal = new Removal(this);
    this.element = node("article", "picture");
    this.element.dataset.picture = picture.id;
    this.pick = node("input");
    this.pick.type = "checkbox";
    const pick = node("label", "pick");
    pick.append(this.pick);
    this.thumb = node("img");
    this.thumb.alt = "";
    this.button = node("button", "thumb");
    this.button.type = "button";
    this.badge = node("span", "badge");
    this.button.append(this.thumb, this.badge);
    this.button.addEventListener("click", () => sheet.look.open(this));
    this.text = node("textarea");
    this.text.maxLength = 1000;
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("change", () => this.save());
    this.text.addEventListener("keydown", (event) => this.pressed(event));
    this.state = node("span", "state");
    this.state.setAttribute("role", "status");
    this.act = node("span", "act");
    const foot = node("div", "foot");
    foot.append(this.state, this.act);
    const words = node("div", "words");
    words.append(this.text, foot);
    this.said = node("p", "said");
    this.about = node("p", "about");
    this.more = node("div", "more");
    this.element.append(this.button, pick, words, this.said, this.about, this.more);
    this.stored();
  }

  // The caption on the page differs from the one in the database.
  unsaved() {
    return this.text.value !== this.picture.caption;
  }

  // Somebody is at it: it must not vanish under their hands.
  busy() {
    return this.unsaved() || this.more.childElementCount > 0 || document.activeElement === this.text;
  }

  focus() {
    this.button.focus();
  }

  update(picture) {
    if (picture.revision < this.picture.revision) return; // it was asked for before the last save
    if (this.unsaved() || document.activeElement === this.text) {
      const { level, why } = picture;
      this.picture = { ...this.picture, level, why };
      return this.describe();
    }
    const same = picture.revision === this.picture.revision && picture.caption === this.picture.caption;
    this.picture = picture;
    if (!same || this.text.disabled !== !this.sheet.editable) return this.stored();
    return this.describe();
  }

  choose(chosen, choosing) {
    this.pick.checked = chosen;
    if (this.choosing !== choosing) {
      this.choosing = choosing;
      this.describe();
    }
    this.element.classList.toggle("chosen", chosen);
  }

  numbered(place) {
    this.place = place;
    this.describe();
  }

  stored(word = "") {
    this.text.value = this.picture.caption;
    this.text.disabled = !this.sheet.editable;
    this.say(word, "good");
    this.offerRemoval();
    this.describe();
  }

  describe() {
    const { name, width, height, level } = this.picture;
    this.text.classList.toggle("changed", this.unsaved());
    this.text.setAttribute("aria-label", `Caption of picture ${this.place}, ${name}`);
    this.button.setAttribute("aria-label", `${this.choosing ? "Choose" : "Look at"} picture ${this.place}, ${name}${level ? `: ${LEVELS[level]}` : ""}`);
    this.pick.setAttribute("aria-label", `Choose picture ${this.place}, ${name}`);
    this.badge.textContent = this.place;
    this.about.replaceChildren(node("span", "", name), `· ${width} × ${height}`);
    this.about.title = name;
    this.element.dataset.level = level || "";
    this.said.replaceChildren(...this.verdict());
  }

  // What the report says, and as long as it says nothing, what was seen at once.
  verdict() {
    const { level, why, warnings, tagged } = this.picture;
    const parts = level ? [node("b", `level ${level}`, LEVELS[level]), " "] : [];
    const rest = level ? (level === "green" ? [] : [why]) : [...warnings];
    if (!level) rest.push("Still being looked at.");
    if (!tagged) rest.push("Its tags are still being written.");
    return [...parts, rest.join(" ")];
  }

  say(words, kind = "") {
    this.state.textContent = words;
    this.state.className = `state ${kind}`;
  }

  pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.save();
  }

  typed() {
    this.text.classList.toggle("changed", this.unsaved());
    this.say(this.unsaved() ? "Not saved yet" : "");
    if (!this.unsaved()) this.offerRemoval();
    else if (!this.act.querySelector(".first")) this.act.replaceChildren(button("Save", () => this.save(), "small first"));
  }

  offerRemoval() {
    this.act.replaceChildren();
    if (!this.sheet.editable) return;
    const remove = button("Remove", () => this.removal.ask(), "small quiet");
    remove.setAttribute("aria-label", `Remove picture ${this.place}`);
    this.act.append(remove);
  }

  async save() {
    const mine = this.text.value;
    if (mine === this.picture.caption || this.saving) return;
    this.saving = true;
    this.say("Saving …");
    try {
      const { caption: seen, revision, id } = this.picture;
      const { value, status } = await this.sheet.api.json("PUT", `api/caption/${id}`, { text: mine, seen, revision });
      const { level, why } = this.picture;
      this.picture = { level, why, ...value }; // a caption changes nothing of the report's verdict
      if (status === 409) this.conflict(mine);
      else this.saved(mine);
    } catch (error) {
      this.say(error.status ? error.message : "No connection. Press Save again.", "bad");
    } finally {
      this.saving = false;
    }
  }

  // What was typed while the caption was on its way stays, to be saved next.
  saved(sent) {
    const typed = this.text.value;
    this.more.replaceChildren();
    this.stored("Saved");
    if (typed !== sent) {
      this.text.value = typed;
      this.typed();
    }
    this.sheet.draw();
  }

  conflict(mine) {
    this.say("Not saved", "bad");
    const quote = node("blockquote", "", this.picture.caption);
    const theirs = button("Keep this", () => { this.more.replaceChildren(); this.stored(); this.sheet.draw(); }, "small");
    const ours = button("Use mine", () => { this.more.replaceChildren(); this.text.value = mine; this.save(); }, "small first");
    this.ask("This caption was changed while you were writing. It now reads:", quote, theirs, ours);
  }

  // The question was answered with no.
  keep() {
    this.more.replaceChildren();
    this.act.querySelector("button")?.focus();
  }

  ask(question, quote, ...buttons) {
    const box = node("div", "box");
    box.setAttribute("role", "alert");
    const row = node("div", "buttons");
    row.append(...buttons);
    box.append(question, quote, row);
    this.more.replaceChildren(box);
  }

  // The address of the small picture; asked for once, however many want it.
  small() {
    if (this.thumb.src) return Promise.resolve(this.thumb.src);
    this.coming ??= this.sheet.api.picture(this.picture.id, 320)
      .then((url) => { this.thumb.src = url; return url; })
      .finally(() => { this.coming = null; });
    return this.coming;
  }

  async loadThumb() {
    try {
      await this.small();
    } catch {
      setTimeout(() => this.sheet.seen.observe(this.element), RETRY_SECONDS * 1000);
    }
  }

  forget() {
    if (this.thumb.src) URL.revokeObjectURL(this.thumb.src);
    this.element.remove();
  }
}
