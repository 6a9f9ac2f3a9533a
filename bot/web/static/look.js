// One picture large, with what the report says of it; arrow keys and buttons lead to the others that are shown.

import { byId } from "./dom.js";

export class Look {
  constructor(api, shown) {
    this.api = api;
    this.shown = shown; // the cards one can go to
    this.card = null;
    this.dialog = byId("look");
    this.large = byId("look-picture");
    byId("look-back").addEventListener("click", () => this.go(-1));
    byId("look-on").addEventListener("click", () => this.go(1));
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.go(-1);
      if (event.key === "ArrowRight") this.go(1);
    });
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { this.forget(); this.card?.focus(); });
  }

  open(card) {
    this.show(card);
    if (!this.dialog.open) this.dialog.showModal();
  }

  go(by) {
    const cards = this.shown();
    const next = cards[cards.indexOf(this.card) + by];
    if (next) this.show(next);
  }

  async show(card) {
    const { name, caption, id } = card.picture;
    const cards = this.shown();
    this.card = card;
    this.forget();
    this.large.src = card.thumb.src;
    this.large.alt = caption;
    byId("look-name").textContent = `${card.place} · ${name}`;
    byId("look-verdict").replaceChildren(...card.verdict());
    byId("look-caption").textContent = caption;
    byId("look-back").disabled = card === cards[0];
    byId("look-on").disabled = card === cards[cards.length - 1];
    try {
      const url = await this.api.picture(id, 1024);
      if (this.card !== card) return URL.revokeObjectURL(url);
      this.large.src = this.url = url;
    } catch { /* the small one is shown already */ }
    return undefined;
  }

  forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }
}
