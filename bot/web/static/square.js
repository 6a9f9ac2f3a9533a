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
    this.large = { picture: 0, url: "" };
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
      if (this.large.picture !== cut.picture) {
        fill(await this.squares.small(cut.picture));
        const url = await this.squares.api.picture(cut.picture, 1024);
        if (this.cut !== cut) return URL.revokeObjectURL(url);
        this.forget();
        this.large = { picture: cut.picture, url };
      }
      fill(this.large.url);
    } catch { /* the small one is shown already, or the picture is gone */ }
    return undefined;
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

  async move(move) {
    const { picture } = this.cut;
    const cut = await this.squares.ask("POST", `api/squares/${picture}`, { move });
    if (!cut) return;
    this.squares.moved = true;
    this.squares.cuts = this.squares.cuts.map((each) => (each.picture === picture ? cut : each));
    if (this.cut?.picture === picture) this.show(cut, cut.said);
  }

  pressed(event) {
    if (!this.cut || !this.squares.sheet.editable || !KEYS[event.key]) return;
    event.preventDefault();
    this.move(KEYS[event.key]);
  }

  forget() {
    if (this.large.url) URL.revokeObjectURL(this.large.url);
    this.large = { picture: 0, url: "" };
  }
}
