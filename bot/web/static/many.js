// What changes many captions at once: shown before it is done, and taken back by Undo.

import { box, choice, field } from "./dialog.js";
import { button, byId, count, node } from "./dom.js";

const MOVED = "Captions changed meanwhile, so nothing was done yet. This is what it would do now:";
const MOVED_LATE = "Captions changed meanwhile, so nothing was done. Ask for it again to see what it would do now.";
const NOTHING_COMMON = "No tag stands in almost every caption, so there is nothing to suggest.";

export class Many {
  constructor(dialog) {
    this.dialog = dialog;
    this.chosen = null; // whose captions, if not all
    byId("common").addEventListener("click", () => this.askCommon());
    for (const by of ["name", "frequency"]) byId(`sort-${by}`).addEventListener("click", () => this.offer({ do: "sort", by }));
    byId("add-tags").addEventListener("click", () => this.askAdd());
    byId("replace").addEventListener("click", () => this.askReplace());
    byId("dedupe").addEventListener("click", () => this.offer({ do: "dedupe" }));
    byId("history").addEventListener("click", () => this.history());
  }

  // --- questions: about whom is settled when they are asked, whoever is chosen or removed before they are answered ---
  askRename(tag) {
    const name = field("New tag", tag);
    const scope = this.chosen.scope();
    const next = () => this.offer({ do: "rename", tag, new: name.input.value }, scope);
    this.dialog.open(`Rename “${tag}”`, [name.label], "Next", next);
    name.input.select();
  }

  askAdd() {
    const tags = field("Tags, with commas between them");
    const place = choice("Where", this.dataset.choices.place);
    const scope = this.chosen.scope();
    const next = () => this.offer({ do: "add", text: tags.input.value, place: place.input.value }, scope);
    this.dialog.open(`Add tags to ${this.chosen.whose()}`, [tags.label, place.label], "Next", next);
  }

  askReplace() {
    const [find, by, how] = [field("Find"), field("Put in its place; empty takes it out"), choice("What it is", this.dataset.choices.how)];
    const scope = this.chosen.scope();
    const next = () => this.offer({ do: "replace", how: how.input.value, find: find.input.value, by: by.input.value }, scope);
    this.dialog.open(`Find and replace in ${this.chosen.whose()}`, [find.label, by.label, how.label], "Next", next);
  }

  // Tags in almost all captions, to be taken out together.
  askCommon() {
    const { common, why_common: why } = this.dataset;
    if (!common.length) return this.dialog.open("In almost all", [node("p", "dim", NOTHING_COMMON)]);
    const boxes = common.map((tag) => box(tag));
    const scope = this.chosen.scope();
    const next = () => {
      const tags = common.filter((_, place) => boxes[place].input.checked);
      if (tags.length) this.offer({ do: "remove", tags }, scope);
      else this.dialog.say("Choose what to remove.");
    };
    return this.dialog.open("In almost all", [node("p", "", why), ...boxes.map((each) => each.label)], "Next", next);
  }

  // --- an edit ---
  async offer(what, scope = this.chosen.scope()) {
    const offer = await this.dialog.ask("POST", "api/edits", { ...what, ...scope });
    if (offer) this.showOffer(offer.value);
  }

  // `applied` is called once it is done.
  showOffer(offer, applied = () => {}, said = "") {
    const list = node("ol", "changes");
    list.append(...offer.changes.map(lineOf));
    const head = `${offer.changes.length} of ${count(offer.total, "caption")} would change:`;
    const notes = offer.notes.map((each) => node("p", "dim", each));
    const parts = [...(said ? [node("p", "notice", said)] : []), node("p", "", head), list, ...notes];
    this.dialog.open(`${offer.title}?`, parts, "Apply", () => this.apply(offer, applied));
  }

  async apply(offer, applied) {
    const answer = await this.dialog.tell("POST", `api/edits/${offer.id}/apply`);
    if (!answer) return;
    const { status, value, mark } = answer;
    if (status === 409) {
      if (mark === this.dialog.mark()) this.showOffer(value, applied, MOVED);
      else this.dialog.done(MOVED_LATE);
      return;
    }
    this.dialog.close(mark);
    applied();
    const said = `${offer.title}: done. ${count(value.changes.length, "caption")} changed.`;
    this.dialog.done(said, () => this.undo(offer.id));
    await this.dialog.changed();
  }

  async undo(id) {
    const answer = await this.dialog.tell("POST", `api/edits/${id}/undo`);
    if (!answer) return;
    const { title, restored, kept } = answer.value;
    const rest = kept ? ` ${count(kept, "caption")} edited since stayed as they are.` : "";
    this.dialog.close(answer.mark);
    this.dialog.done(`Undone: ${title}. ${count(restored, "caption")} restored.${rest}`);
    await this.dialog.changed();
  }

  async history() {
    const answer = await this.dialog.ask("GET", "api/edits");
    if (!answer) return;
    const list = node("ul", "past");
    list.append(...answer.value.past.map((each) => this.pastLine(each)));
    this.dialog.open("History", answer.value.total ? [list] : [node("p", "dim", "Nothing was changed in bulk yet.")]);
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
