// Where the page asks and answers: a dialog, and a line at the bottom that offers Undo.

import { button, byId, node, sentenceOf } from "./dom.js";

export class Dialog {
  constructor(api, changed) {
    this.api = api;
    this.changed = changed; // have the page look for news
    this.box = byId("many");
    this.number = 0; // of what was opened or asked last
    byId("many-form").addEventListener("submit", (event) => { event.preventDefault(); this.act?.(); });
    byId("many-close").addEventListener("click", () => this.close());
    byId("done-close").addEventListener("click", () => { byId("done").hidden = true; });
  }

  open(title, parts, word = "", act = null) {
    this.number += 1;
    this.act = act;
    byId("many-title").textContent = title;
    byId("many-body").replaceChildren(...parts);
    byId("many-act").textContent = word;
    byId("many-act").hidden = !word;
    byId("many-act").disabled = false;
    byId("many-close").textContent = word ? "Cancel" : "Close";
    this.say("");
    if (!this.box.open) this.box.showModal();
    (byId("many-body").querySelector("input, select, textarea") || byId("many-close")).focus();
  }

  // What is open, by which a late answer finds out that it is not any more.
  mark() {
    return `${this.number} ${this.box.open}`;
  }

  // Whoever did something closes the dialog it was asked in, not one opened since.
  close(mark = this.mark()) {
    if (mark === this.mark()) this.box.close();
  }

  say(words) {
    byId("many-said").textContent = words;
    byId("many-said").hidden = !words;
  }

  // The bot's answer to a question; none when it refused or was not reached, which is said where the member looks. None
  // either once they closed the dialog or asked something else: what it opens would come up under their finger.
  async ask(method, path, body) {
    this.number += 1;
    const mark = this.mark();
    const answer = await this.sent(method, path, body, () => {});
    return mark === this.mark() ? answer : null;
  }

  // The answer to what is done by it, however late; with the mark of the dialog it was asked in.
  async tell(method, path, body) {
    const mark = this.mark();
    const answer = await this.sent(method, path, body, (sentence) => this.done(sentence));
    return answer && { ...answer, mark };
  }

  async sent(method, path, body, late) {
    const mark = this.mark();
    byId("many-act").disabled = true;
    try {
      return await this.api.json(method, path, body);
    } catch (error) {
      if (mark !== this.mark()) late(sentenceOf(error));
      else if (this.box.open) this.say(sentenceOf(error));
      else this.done(sentenceOf(error));
      return null;
    } finally {
      if (mark === this.mark()) byId("many-act").disabled = false;
    }
  }

  // What was done, with the way back.
  done(words, act = null, word = "Undo") {
    byId("done-words").textContent = words;
    byId("done-undo").replaceChildren(...(act ? [button(word, act, "small first")] : []));
    byId("done").hidden = false;
  }
}

// A label with a field in it, and what is to be written there.
export function field(words, value = "", about = "") {
  const input = node("input");
  input.value = value;
  input.maxLength = 1000;
  input.autocomplete = "off";
  return labelled(words, input, about);
}

// The same with several lines.
export function paragraph(words, value = "", about = "") {
  const input = node("textarea");
  input.value = value;
  return labelled(words, input, about);
}

// The same with a list to choose from: [value, words] each, the first unless another is chosen.
export function choice(words, options, chosen = "") {
  const input = node("select");
  for (const [value, said] of options) {
    const option = node("option", "", said);
    option.value = value;
    input.append(option);
  }
  if (chosen) input.value = chosen;
  return labelled(words, input);
}

// A box to tick, with words behind it.
export function box(words, checked = false) {
  const input = node("input");
  input.type = "checkbox";
  input.checked = checked;
  const label = node("label", "box-line");
  label.append(input, words);
  return { label, input };
}

function labelled(words, input, about = "") {
  const label = node("label", "field", words);
  if (about) label.append(" ", node("span", "dim", about));
  label.append(input);
  return { label, input };
}
