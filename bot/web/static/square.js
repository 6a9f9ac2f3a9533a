// One picture's square: before and after, and the buttons that move it.

import { after, before } from "./cut.js";
import { button, byId, node } from "./dom.js";
import { LEVELS } from "./picture.js";

const PAD = ["closer", "up", "wider", "left", "down", "right"];
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", "+": "closer", "-": "wider" };

export class Square {
  constructor(squares) {
    this.squares = squares;
    this.cut = null;
    this.large = null; // { picture, url, coming }: asked for once, however often the square is moved meanwhile
    this.moving = Promise.resolve();
    this.moves = 0; // pressed and not answered yet
    squares.dialog.addEventListener("keydown", (event) => this.pressed(event));
    squares.dialog.addEventListener("close", () => { this.cut = null; this.forget(); });
  }

  show(cut, said = "") {
    this.cut = cut;
    this.pair = node("div", "pair");
    this.pair.append(before(cut), after(cut));
    const pad = this.squares.sheet.editable ? [this.pad()] : [];
    this.squares.fill(this.about(cut), this.pair, ...pad, this.ways());
    this.squares.say(said);
    byId("squares-title").textContent = `${cut.number} · ${cut.name}`;
    this.draw(cut);
  }

  about(cut) {
    const words = node("p");
    words.append(`${cut.side} × ${cut.side} of ${cut.width} × ${cut.height} pixels, ${cut.chosen ? "yours" : "suggested"}.`);
    if (cut.level) words.append(" ", node("b", `level ${cut.level}`, LEVELS[cut.level]));
    if (cut.level && cut.level !== "green") words.append(` ${cut.why}`);
    return words;
  }

  // The small picture at once, then the large one.
  async draw(cut) {
    const fill = (url) => { if (this.cut === cut) for (const image of this.pair.querySelectorAll("img")) image.src = url; };
    try {
      const large = this.largeOf(cut.picture);
      if (!large.url) fill(await this.squares.small(cut.picture));
      fill(await large.coming);
    } catch { /* the small one is shown already, or the picture is gone */ }
  }

  largeOf(picture) {
    if (this.large?.picture === picture) return this.large;
    this.forget();
    const large = { picture, url: "", coming: this.squares.api.picture(picture, 1024) };
    large.coming.then((url) => { large.url = url; }, () => { if (this.large === large) this.large = null; });
    this.large = large;
    return large;
  }

  pad() {
    const pad = node("div", "pad");
    pad.append(...PAD.map((move) => button(move[0].toUpperCase() + move.slice(1), () => this.move(move), "small")));
    return pad;
  }

  ways() {
    const row = node("div", "buttons ways");
    const { cuts } = this.squares;
    const place = cuts.findIndex((each) => each.picture === this.cut.picture);
    const way = (words, act, off) => {
      const made = button(words, act, "small");
      made.disabled = off;
      return made;
    };
    const go = (words, to) => way(words, () => this.show(to), !to);
    row.append(go("← Previous", cuts[place - 1]), go("Next →", cuts[place + 1]));
    if (this.squares.sheet.editable) row.append(way("Reset", () => this.move("reset"), !this.cut.chosen));
    row.append(way("All squares", () => { this.cut = null; this.squares.open(); }, false));
    return row;
  }

  // One after the other: the bot moves the square from where it is, and the last answer must be the one shown.
  move(move) {
    const { picture } = this.cut;
    this.moves += 1;
    this.moving = this.moving.then(() => this.moved(picture, move)).finally(() => { this.moves -= 1; });
  }

  async moved(picture, move) {
    const cut = await this.squares.ask("POST", `api/squares/${picture}`, { move });
    if (!cut) return;
    this.squares.moved = true;
    this.squares.cuts = this.squares.cuts.map((each) => (each.picture === picture ? cut : each));
    if (this.cut?.picture === picture) this.show(cut, cut.said);
  }

  // With Ctrl, Alt or the command key it is the browser's: its zoom, its history. A held key waits for its last move.
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.cut || !this.squares.sheet.editable || !KEYS[event.key]) return;
    event.preventDefault();
    if (!event.repeat || !this.moves) this.move(KEYS[event.key]);
  }

  forget() {
    this.large?.coming.then((url) => URL.revokeObjectURL(url), () => {});
    this.large = null;
  }
}
