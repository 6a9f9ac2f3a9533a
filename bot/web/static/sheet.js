// All pictures of the dataset with their captions: edited in place, filtered by tag, removed.

const RETRY_SECONDS = 4; // before a small picture that did not come is asked for again
const byId = (id) => document.getElementById(id);

export class Sheet {
  constructor(api, notice) {
    this.api = api;
    this.notice = notice;
    this.cards = new Map();
    this.prefix = new Set();
    this.wanted = "";
    this.editable = false;
    this.seen = new IntersectionObserver((entries) => this.appear(entries), { rootMargin: "400px" });
    byId("tag-search").addEventListener("input", () => this.drawTags());
    byId("contact").addEventListener("click", (event) => {
      const only = byId("pictures").classList.toggle("contact");
      event.currentTarget.setAttribute("aria-pressed", String(only));
    });
    byId("tag-box").open = matchMedia("(min-width: 900px)").matches;
  }

  show(dataset) {
    this.editable = dataset.open;
    this.prefix = new Set([dataset.trigger, dataset.class_word].filter(Boolean));
    const here = new Set(dataset.pictures.map((each) => each.id));
    for (const [id, card] of this.cards) if (!here.has(id)) this.forget(id, card);
    for (const picture of dataset.pictures) this.put(picture);
    this.drawTags();
  }

  add(picture) {
    this.put(picture);
    this.drawTags();
  }

  put(picture) {
    const card = this.cards.get(picture.id);
    if (card) return card.update(picture);
    const made = new PictureCard(this, picture);
    this.cards.set(picture.id, made);
    byId("pictures").append(made.element);
    this.seen.observe(made.element);
    return made;
  }

  forget(id, card) {
    this.cards.delete(id);
    this.seen.unobserve(card.element);
    if (card.thumb.src) URL.revokeObjectURL(card.thumb.src);
    card.element.remove();
  }

  has(sha256) {
    return [...this.cards.values()].some((card) => card.picture.sha256 === sha256);
  }

  size() {
    return this.cards.size;
  }

  waiting() {
    return [...this.cards.values()].some((card) => !card.picture.tagged || !card.picture.level);
  }

  appear(entries) {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      this.seen.unobserve(entry.target);
      const card = [...this.cards.values()].find((each) => each.element === entry.target);
      if (card) card.loadThumb();
    }
  }

  drawTags() {
    const counts = new Map();
    for (const card of this.cards.values()) {
      for (const tag of new Set(tagsOf(card.picture.caption))) {
        if (!this.prefix.has(tag)) counts.set(tag, (counts.get(tag) || 0) + 1);
      }
    }
    if (this.wanted && !counts.has(this.wanted)) this.wanted = "";
    const search = byId("tag-search").value.trim().toLowerCase();
    const shown = [...counts].filter(([tag]) => tag.toLowerCase().includes(search));
    shown.sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
    byId("tags").replaceChildren(...shown.map(([tag, count]) => this.chip(tag, count)));
    byId("tag-count").textContent = counts.size ? `(${counts.size})` : "";
    byId("tag-box").hidden = !counts.size;
    byId("empty").hidden = this.cards.size > 0;
    byId("views").hidden = !this.cards.size;
    [...this.cards.values()].forEach((card, place) => { card.number.textContent = place + 1; });
    this.filter();
  }

  chip(tag, count) {
    const chip = button(tag, () => { this.wanted = this.wanted === tag ? "" : tag; this.drawTags(); });
    const number = document.createElement("b");
    number.textContent = ` ${count}`;
    chip.append(number);
    chip.setAttribute("aria-pressed", String(this.wanted === tag));
    return chip;
  }

  filter() {
    let shown = 0;
    for (const card of this.cards.values()) {
      const fits = !this.wanted || card.busy() || tagsOf(card.picture.caption).includes(this.wanted);
      card.element.hidden = !fits;
      shown += fits;
    }
    const line = byId("filter");
    line.hidden = !this.wanted;
    const words = document.createElement("span");
    words.textContent = `“${this.wanted}”: ${shown} of ${this.cards.size} pictures`;
    line.replaceChildren(words, button("Show all", () => { this.wanted = ""; this.drawTags(); }, "small"));
  }
}

class PictureCard {
  constructor(sheet, picture) {
    this.sheet = sheet;
    this.picture = picture;
    this.element = node("article", "picture");
    this.thumb = document.createElement("img");
    this.thumb.alt = "";
    const look = node("button", "thumb");
    look.setAttribute("aria-label", `Look at ${picture.name}`);
    look.append(this.thumb);
    look.addEventListener("click", () => this.look());
    this.text = document.createElement("textarea");
    this.text.maxLength = 1000;
    this.text.setAttribute("aria-label", `Caption of ${picture.name}`);
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("change", () => this.save());
    this.state = node("span", "state");
    this.act = node("span");
    const foot = node("div", "foot");
    foot.append(this.state, this.act);
    const words = node("div", "words");
    words.append(this.text, foot);
    this.more = node("div", "more");
    this.number = document.createElement("b");
    this.detail = node("span", "detail");
    this.about = node("p", "about");
    this.about.append(this.number, this.detail);
    this.element.append(look, words, this.about, this.more);
    this.stored();
  }

  // The caption on the page differs from the one in the database, or a question is open.
  busy() {
    return this.text.value !== this.picture.caption || this.more.childElementCount > 0;
  }

  update(picture) {
    const changed = this.text.value !== this.picture.caption;
    if (changed || document.activeElement === this.text) return;
    const same = picture.revision === this.picture.revision && picture.caption === this.picture.caption;
    this.picture = picture;
    if (!same || this.text.disabled !== !this.sheet.editable) this.stored();
    else this.describe();
  }

  stored(word = "") {
    this.text.value = this.picture.caption;
    this.text.disabled = !this.sheet.editable;
    this.say(word, "good");
    this.offerRemoval();
    this.describe();
  }

  describe() {
    const { name, width, height, warnings, tagged, level, why } = this.picture;
    this.text.classList.toggle("changed", this.text.value !== this.picture.caption);
    this.detail.textContent = ` · ${name} · ${width}×${height}`;
    this.element.dataset.level = level || "";
    this.thumb.title = level ? why : "";
    const problems = level ? [] : [...warnings]; // the report's sentence says what the first look said, and more
    if (level && level !== "green") problems.push(why);
    if (!tagged) problems.push("Its tags are still being written.");
    for (const problem of problems) {
      const line = node("span", "warning");
      line.textContent = ` · ${problem}`;
      this.detail.append(line);
    }
  }

  say(words, kind = "") {
    this.state.textContent = words;
    this.state.className = `state ${kind}`;
  }

  typed() {
    const changed = this.text.value !== this.picture.caption;
    this.text.classList.toggle("changed", changed);
    this.say(changed ? "Not saved yet" : "");
    if (changed) this.act.replaceChildren(button("Save", () => this.save(), "small first"));
    else this.offerRemoval();
  }

  offerRemoval() {
    this.act.replaceChildren();
    if (this.sheet.editable) this.act.append(button("Remove", () => this.askRemoval(), "small"));
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
    this.sheet.drawTags();
  }

  conflict(mine) {
    this.say("Not saved", "bad");
    const quote = document.createElement("blockquote");
    quote.textContent = this.picture.caption;
    const theirs = button("Keep this", () => { this.more.replaceChildren(); this.stored(); this.sheet.drawTags(); }, "small");
    const ours = button("Use mine", () => { this.more.replaceChildren(); this.text.value = mine; this.save(); }, "small first");
    this.ask("This caption was changed while you were writing. It now reads:", quote, theirs, ours);
  }

  askRemoval() {
    const yes = button("Remove", () => this.remove(), "small danger");
    const no = button("Keep", () => this.more.replaceChildren(), "small");
    this.ask("Remove this picture and its caption for good?", "", yes, no);
  }

  ask(question, quote, ...buttons) {
    const box = node("div", "box");
    const row = node("div", "buttons");
    row.append(...buttons);
    box.append(question, quote, row);
    this.more.replaceChildren(box);
  }

  async remove() {
    try {
      await this.sheet.api.json("DELETE", `api/picture/${this.picture.id}`);
    } catch (error) {
      if (error.status !== 404) return this.say(error.status ? error.message : "No connection. Try again.", "bad");
    }
    this.sheet.forget(this.picture.id, this);
    this.sheet.drawTags();
    return this.sheet.notice("");
  }

  async loadThumb() {
    try {
      this.thumb.src = await this.sheet.api.picture(this.picture.id, 320);
    } catch {
      setTimeout(() => this.sheet.seen.observe(this.element), RETRY_SECONDS * 1000);
    }
  }

  async look() {
    const large = byId("look-picture");
    large.src = this.thumb.src;
    byId("look-about").textContent = this.picture.caption;
    byId("look").showModal();
    try {
      large.src = await this.sheet.api.picture(this.picture.id, 1024);
      byId("look").addEventListener("close", () => URL.revokeObjectURL(large.src), { once: true });
    } catch { /* the small one is shown already */ }
  }
}

// The parts of a caption between commas; the comma of 1,000 is none.
function tagsOf(caption) {
  return caption.replace(/(\d)[,，](?=\d)/g, "$1\u0000").split(/[,，]/)
    .map((part) => part.replaceAll("\u0000", ",").trim()).filter(Boolean);
}

function node(tag, name = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  return made;
}

function button(words, act, name = "") {
  const made = node("button", name);
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", act);
  return made;
}
