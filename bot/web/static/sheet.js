// All pictures of the dataset with their captions: in the report's frames, filtered by verdict and by tag.

import { Chosen } from "./chosen.js";
import { button, byId, count, node, refill } from "./dom.js";
import { Look } from "./look.js";
import { LEVELS, PictureCard } from "./picture.js";

const FILTERS = {
  "": ["All", () => true],
  red: [LEVELS.red, (picture) => picture.level === "red"],
  amber: [LEVELS.amber, (picture) => picture.level === "amber"],
  green: [LEVELS.green, (picture) => picture.level === "green"],
  bare: ["No caption", (picture, bare) => picture.caption === bare],
};

export class Sheet {
  constructor(api, dialog, many, drops, changed) {
    this.api = api;
    this.dialog = dialog;
    this.many = many;
    this.drops = drops;
    this.changed = changed; // have the page look for news
    this.look = new Look(api, () => [...this.cards.values()].filter((card) => !card.element.hidden));
    this.cards = new Map();
    this.chips = new Map();
    this.dataset = null;
    this.kind = ""; // of the filters above
    this.tag = ""; // its key
    this.editable = false;
    this.chosen = many.chosen = new Chosen(this);
    this.seen = new IntersectionObserver((entries) => this.appear(entries), { rootMargin: "400px" });
    byId("tag-search").addEventListener("input", () => this.draw());
    byId("contact").addEventListener("click", (event) => {
      const only = byId("pictures").classList.toggle("contact");
      event.currentTarget.setAttribute("aria-pressed", String(only));
    });
    for (const box of ["report-box", "tag-box"]) byId(box).open = matchMedia("(min-width: 900px)").matches;
  }

  show(dataset) {
    this.dataset = this.many.dataset = dataset;
    this.editable = dataset.open;
    const before = this.cards;
    this.cards = new Map(dataset.pictures.map((each) => [each.id, before.get(each.id) || this.made(each)]));
    for (const [id, card] of before) if (!this.cards.has(id)) this.forget(card);
    for (const picture of dataset.pictures) this.cards.get(picture.id).update(picture);
    this.order();
    this.draw();
  }

  add(picture) {
    if (!this.cards.has(picture.id)) this.cards.set(picture.id, this.made(picture));
    this.order();
    this.draw();
  }

  made(picture) {
    const card = new PictureCard(this, picture);
    this.seen.observe(card.element);
    return card;
  }

  // Cards stand as the pictures are numbered; only what is out of place is moved.
  order() {
    const list = byId("pictures");
    [...this.cards.values()].forEach((card, place) => {
      if (list.children[place] !== card.element) list.insertBefore(card.element, list.children[place] || null);
      card.numbered(place + 1);
    });
  }

  removed(card) {
    const cards = [...this.cards.values()];
    const place = cards.indexOf(card);
    this.cards.delete(card.picture.id);
    this.forget(card);
    this.order();
    this.draw();
    [...cards.slice(place + 1), ...cards.slice(0, place).reverse()].find((each) => !each.element.hidden)?.focus();
    this.changed();
  }

  forget(card) {
    this.seen.unobserve(card.element);
    card.forget();
  }

  has(sha256) {
    return [...this.cards.values()].some((card) => card.picture.sha256 === sha256);
  }

  size() {
    return this.cards.size;
  }

  untagged() {
    return [...this.cards.values()].filter((card) => !card.picture.tagged).length;
  }

  unsaved() {
    return [...this.cards.values()].some((card) => card.unsaved());
  }

  appear(entries) {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      this.seen.unobserve(entry.target);
      const card = [...this.cards.values()].find((each) => each.element === entry.target);
      if (card) card.loadThumb();
    }
  }

  draw() {
    this.drawTags();
    this.drawFilters();
    const shown = this.filter();
    byId("empty").hidden = this.cards.size > 0;
    byId("views").hidden = !this.cards.size;
    this.chosen.draw();
    this.drawLine(shown);
  }

  drawTags() {
    const counts = new Map();
    for (const card of this.cards.values()) {
      for (const tag of card.picture.tags) counts.set(tag, (counts.get(tag) || 0) + 1);
    }
    if (!counts.has(this.tag)) this.tag = "";
    const search = byId("tag-search").value.trim().toLowerCase();
    const shown = [...counts].filter(([tag]) => this.label(tag).toLowerCase().includes(search));
    shown.sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
    refill(byId("tags"), shown.map(([tag, times]) => this.chip(`tag:${tag}`, this.label(tag), times, this.tag === tag,
      () => { this.tag = this.tag === tag ? "" : tag; this.kind = ""; })));
    byId("no-tags").hidden = shown.length > 0;
    byId("no-tags").textContent = counts.size ? "No tag is called so." : "No caption has tags yet.";
    byId("tag-count").textContent = counts.size || "";
    byId("tag-box").hidden = !this.cards.size;
  }

  drawFilters() {
    const chips = [];
    for (const [kind, [words, fits]] of Object.entries(FILTERS)) {
      const times = [...this.cards.values()].filter((card) => fits(card.picture, this.dataset.bare)).length;
      if (!times && this.kind === kind) this.kind = "";
      if (!times && kind) continue;
      chips.push(this.chip(`kind:${kind}`, words, times, this.kind === kind, () => { this.kind = kind; this.tag = ""; }));
      chips.at(-1).dataset.kind = kind;
    }
    if (this.kind === "") chips[0]?.setAttribute("aria-pressed", String(!this.tag));
    refill(byId("filters"), chips);
  }

  // One button for each name, so that the keyboard stays on it when it is drawn anew.
  chip(name, words, times, pressed, act) {
    let chip = this.chips.get(name);
    if (!chip) {
      chip = button("", () => { chip.act(); this.draw(); this.toStart(); }, "chip");
      this.chips.set(name, chip);
    }
    chip.act = act;
    chip.replaceChildren(words, node("b", "", ` ${times}`));
    chip.setAttribute("aria-pressed", String(pressed));
    return chip;
  }

  // What was chosen is shown from its first picture on, with what can be done with it.
  toStart() {
    const sheet = byId("sheet");
    if (sheet.getBoundingClientRect().top < 0) sheet.scrollIntoView();
  }

  label(tag) {
    return this.dataset.tags[tag] || tag;
  }

  filter() {
    let shown = 0;
    const [, fits] = FILTERS[this.kind];
    for (const card of this.cards.values()) {
      const meant = fits(card.picture, this.dataset.bare) && (!this.tag || card.picture.tags.includes(this.tag));
      card.element.hidden = !meant && !card.busy();
      shown += meant;
    }
    return shown;
  }

  // What is shown, and what can be done with all of it at once.
  drawLine(shown) {
    const line = byId("filter");
    line.hidden = !this.kind && !this.tag;
    if (line.hidden) return;
    const words = this.tag ? `“${this.label(this.tag)}”` : FILTERS[this.kind][0];
    const row = node("div", "buttons");
    if (this.editable) row.append(...this.acts());
    row.append(button("Show all", () => { this.tag = this.kind = ""; this.draw(); }, "small"));
    line.replaceChildren(node("span", "", `${words}: ${shown} of ${count(this.cards.size, "picture")}`), row);
  }

  acts() {
    const tag = this.label(this.tag);
    if (this.tag) {
      return [
        button("Rename", () => this.many.askRename(tag), "small"),
        button("Put first", () => this.many.offer({ do: "first", tag }), "small"),
        button(this.chosen.list().length ? "Remove from chosen" : "Remove everywhere", () => this.many.offer({ do: "remove", tags: [tag] }), "small danger"),
      ];
    }
    return this.kind === "red" ? [this.drops.dropButton(this.dataset.report)] : [];
  }
}
