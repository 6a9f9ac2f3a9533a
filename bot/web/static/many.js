// What changes many pictures at once: shown before it is done, and taken back by Undo. The report's red pictures too.

import { button, byId, count, node, sentenceOf } from "./dom.js";

const MOVED = "Captions changed meanwhile, so nothing was done yet. This is what it would do now:";

export class Many {
  constructor(api, changed) {
    this.api = api;
    this.changed = changed; // have the page look for news
    this.dialog = byId("many");
    byId("many-form").addEventListener("submit", (event) => { event.preventDefault(); this.act?.(); });
    byId("many-close").addEventListener("click", () => this.dialog.close());
    byId("done-close").addEventListener("click", () => { byId("done").hidden = true; });
    byId("add-tags").addEventListener("click", () => this.askAdd());
    byId("replace").addEventListener("click", () => this.askReplace());
    byId("dedupe").addEventListener("click", () => this.offer({ do: "dedupe" }));
    byId("history").addEventListener("click", () => this.history());
    byId("export-text").addEventListener("click", () => this.export("text"));
    byId("export-zip").addEventListener("click", () => this.export("zip"));
  }

  // --- questions ---
  askRename(tag) {
    const field = this.field("New tag", tag);
    this.open(`Rename “${tag}”`, [field.label], "Next", () => this.offer({ do: "rename", tag, new: field.input.value }));
    field.input.select();
  }

  askAdd() {
    const field = this.field("Tags, with commas between them");
    this.open("Add to all captions", [field.label], "Next", () => this.offer({ do: "add", text: field.input.value }));
  }

  askReplace() {
    const [find, by] = [this.field("Find this text"), this.field("Put this in its place")];
    const next = () => this.offer({ do: "replace", find: find.input.value, by: by.input.value });
    this.open("Find and replace", [find.label, by.label], "Next", next);
  }

  field(words, value = "") {
    const label = node("label", "field", words);
    const input = node("input");
    input.value = value;
    input.maxLength = 1000;
    input.autocomplete = "off";
    label.append(input);
    return { label, input };
  }

  // --- an edit ---
  async offer(what) {
    const offer = await this.ask("POST", "api/edits", what);
    if (offer) this.showOffer(offer.value);
  }

  showOffer(offer, said = "") {
    const list = node("ol", "changes");
    list.append(...offer.changes.map(lineOf));
    const head = `${offer.changes.length} of ${count(offer.total, "caption")} would change:`;
    const notes = offer.notes.map((each) => node("p", "dim", each));
    const parts = [...(said ? [node("p", "notice", said)] : []), node("p", "", head), list, ...notes];
    this.open(`${offer.title}?`, parts, "Apply", () => this.apply(offer));
  }

  async apply(offer) {
    const answer = await this.ask("POST", `api/edits/${offer.id}/apply`);
    if (!answer) return;
    if (answer.status === 409) return this.showOffer(answer.value, MOVED);
    this.dialog.close();
    this.done(`${offer.title}: done. ${count(answer.value.changes.length, "caption")} changed.`, () => this.undo(offer.id));
    await this.changed();
  }

  async undo(id) {
    const answer = await this.ask("POST", `api/edits/${id}/undo`);
    if (!answer) return;
    const { title, restored, kept } = answer.value;
    const rest = kept ? ` ${count(kept, "caption")} edited since stayed as they are.` : "";
    this.dialog.close();
    this.done(`Undone: ${title}. ${count(restored, "caption")} restored.${rest}`);
    await this.changed();
  }

  async history() {
    const answer = await this.ask("GET", "api/edits");
    if (!answer) return;
    const list = node("ul", "past");
    list.append(...answer.value.past.map((each) => this.pastLine(each)));
    this.open("History", answer.value.total ? [list] : [node("p", "dim", "Nothing was changed in bulk yet.")]);
  }

  pastLine(past) {
    const when = new Date(past.at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const line = node("li");
    const words = node("div");
    const about = [count(past.captions, "caption"), past.mine ? "you" : "somebody else", when, ...(past.undone ? ["undone"] : [])];
    words.append(node("b", "", past.title), node("p", "dim", about.join(" · ")));
    line.append(words);
    if (!past.undone && past.captions) line.append(button("Undo", () => this.undo(past.id), "small"));
    return line;
  }

  async export(form) {
    try {
      const answer = await this.api.fetch(`api/captions?form=${form}`, {});
      if (!answer.ok) return this.done((await answer.json()).error);
      const link = node("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = answer.headers.get("Content-Disposition").split('"')[1];
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (error) {
      this.done(sentenceOf(error));
    }
    return undefined;
  }

  // --- red pictures ---
  dropButton(report) {
    return button(`Drop ${report.red} red`, () => this.askDrop(report), "small danger");
  }

  backButton(report) {
    return button(`Bring ${report.dropped} back`, () => this.bringBack(), "small");
  }

  askDrop(report) {
    const said = `${count(report.red, "picture")} with their captions. You can bring them back for some days.`;
    this.open(`Drop ${report.red} red?`, [node("p", "", said)], "Drop", () => this.drop(report.digest));
  }

  async drop(digest) {
    const answer = await this.ask("POST", "api/red", { digest });
    if (!answer) return;
    const { dropped, drop, days } = answer.value;
    this.dialog.close();
    this.done(`${count(dropped, "picture")} dropped. They can be brought back for ${days} days.`, () => this.bringBack(drop));
    await this.changed();
  }

  // Those of that drop, or, without, what was dropped last.
  async bringBack(drop = null) {
    const answer = await this.ask("POST", "api/red/undo", { drop });
    if (!answer) return;
    const { back, again } = answer.value;
    const rest = again ? ` ${count(again, "picture")} had been added again meanwhile.` : "";
    this.done(`${count(back, "picture")} brought back, with captions.${rest}`);
    await this.changed();
  }

  // --- the dialog and the line below ---
  open(title, parts, word = "", act = null) {
    this.act = act;
    byId("many-title").textContent = title;
    byId("many-body").replaceChildren(...parts);
    byId("many-act").textContent = word;
    byId("many-act").hidden = !word;
    byId("many-close").textContent = word ? "Cancel" : "Close";
    this.say("");
    if (!this.dialog.open) this.dialog.showModal();
    (byId("many-body").querySelector("input") || byId("many-close")).focus();
  }

  say(words) {
    byId("many-said").textContent = words;
    byId("many-said").hidden = !words;
  }

  // The bot's answer; none when it refused or was not reached, which is said where the member looks.
  async ask(method, path, body) {
    byId("many-act").disabled = true;
    try {
      return await this.api.json(method, path, body);
    } catch (error) {
      if (this.dialog.open) this.say(sentenceOf(error));
      else this.done(sentenceOf(error));
      return null;
    } finally {
      byId("many-act").disabled = false;
    }
  }

  done(words, undo = null) {
    byId("done-words").textContent = words;
    byId("done-undo").replaceChildren(...(undo ? [button("Undo", undo, "small first")] : []));
    byId("done").hidden = false;
  }
}

// "3 smile [gone] hat": a caption before and after, only what differs and a few words around it.
function lineOf(change) {
  const line = node("li");
  line.append(node("b", "", change.number));
  const words = node("span");
  for (const [kind, text] of change.pieces) words.append(node({ same: "span", gone: "del", new: "ins" }[kind], "", text));
  line.append(words);
  return line;
}
