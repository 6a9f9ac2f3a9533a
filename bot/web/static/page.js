// A dataset's page: joins its parts to the bot's interface under api/. The pass comes in the address's fragment, which
// browsers send to nobody, and goes out in a header.

import { Dialog } from "./dialog.js";
import { byId, count, groupLine, node } from "./dom.js";
import { Drops } from "./drops.js";
import { Files } from "./files.js";
import { Many } from "./many.js";
import { Pace } from "./pace.js";
import { Recaption } from "./recaption.js";
import { Sheet } from "./sheet.js";
import { Squares } from "./squares.js";
import { Tagger } from "./tagger.js";
import { Uploads } from "./upload.js";

class Api {
  constructor(pass) {
    this.headers = { Authorization: `Bearer ${pass}` };
  }

  // A file is sent as it is.
  async json(method, path, body) {
    const sent = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
    const answer = await this.fetch(path, { method, body: sent });
    const text = await answer.text();
    const value = JSON.parse(text);
    if (!answer.ok && value.error) throw new Refusal(value.error, answer.status);
    return { value, text, status: answer.status };
  }

  async picture(id, side) {
    const answer = await this.fetch(`api/picture/${id}?side=${side}`, {});
    if (!answer.ok) throw new Error(`${answer.status}`);
    return URL.createObjectURL(await answer.blob());
  }

  fetch(path, more) {
    return fetch(path, { ...more, headers: this.headers, credentials: "omit", referrerPolicy: "no-referrer" });
  }
}

class Refusal extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

class Page {
  constructor(pass) {
    this.api = new Api(pass);
    this.pace = new Pace(() => this.look());
    const changed = () => this.pace.now();
    const dialog = new Dialog(this.api, changed);
    this.many = new Many(dialog);
    this.drops = new Drops(dialog);
    this.files = new Files(this.api, dialog, this.many);
    this.sheet = new Sheet(this.api, dialog, this.many, this.drops, changed);
    this.sheet.recaption = new Recaption(this.api, dialog, this.many);
    this.tagger = new Tagger(dialog);
    this.squares = new Squares(this.api, this.sheet, changed);
    this.uploads = new Uploads(this.api.headers, {
      known: (sha256) => this.sheet.has(sha256),
      added: (pictures) => this.added(pictures),
      sent: changed,
    });
    this.last = "";
    addEventListener("beforeunload", (event) => { if (this.sheet.unsaved()) event.preventDefault(); });
  }

  // Looks for news; null when the page may not any more.
  async look() {
    try {
      const { value, text } = await this.api.json("GET", "api/dataset");
      const news = text !== this.last;
      this.last = text;
      if (news) this.show(value);
      this.notice("");
      return { news, busy: this.uploads.left() > 0 || value.report.measuring > 0 || this.sheet.untagged() > 0 };
    } catch (error) {
      if (error instanceof Refusal && error.status !== 429 && error.status < 500) return this.closed(error);
      this.notice("No connection to the bot. Nothing is lost; the page goes on by itself.");
      return { news: false, busy: true };
    }
  }

  show(dataset) {
    this.dataset = dataset;
    document.title = dataset.name;
    byId("name").textContent = dataset.name;
    byId("hand-over").hidden = !dataset.open;
    byId("away").hidden = dataset.open;
    byId("edit-all").hidden = !dataset.open;
    byId("main").hidden = false;
    this.uploads.limits = { picture: dataset.max_file_bytes, archive: dataset.max_zip_bytes };
    this.sheet.show(dataset);
    this.report(dataset.report);
    this.count();
  }

  // How much there is, and what is still going on.
  count() {
    const { trigger, class_word: word, max_pictures: most, report } = this.dataset;
    const what = word ? `${trigger}, ${word}` : trigger;
    const [size, untagged] = [this.sheet.size(), this.sheet.untagged()];
    byId("about").textContent = `${what} · ${size} of at most ${most} pictures`;
    byId("drop").classList.toggle("compact", size > 0);
    const going = [];
    if (report.measuring) going.push(`looking at ${count(report.measuring, "picture")}`);
    if (untagged) going.push(`writing ${count(untagged, "caption")}`);
    byId("going").hidden = !going.length;
    byId("going").textContent = `Still ${going.join(", ")}\u00a0…`;
  }

  report(report) {
    const lines = report.groups.map(groupLine);
    for (const sentence of report.advice) lines.push(node("li", "", sentence));
    const buttons = [];
    if (this.dataset.open && report.red) buttons.push(this.drops.dropButton(report));
    if (this.dataset.open && report.dropped) buttons.push(this.drops.backButton(report));
    if (this.sheet.size()) buttons.push(this.squares.openButton());
    byId("report-lines").replaceChildren(...lines);
    byId("report-look").textContent = report.look.join(" ");
    byId("report-buttons").replaceChildren(...buttons);
    byId("report-good").hidden = lines.length > 0;
    byId("report-count").textContent = lines.length || "";
    byId("report-box").hidden = !this.sheet.size() && !report.dropped;
  }

  added(pictures) {
    for (const picture of pictures) this.sheet.add(picture);
    this.count();
  }

  notice(sentence) {
    byId("notice").textContent = sentence;
    byId("notice").hidden = !sentence;
  }

  // What was typed and not saved stays to be copied, unless the member may not see this any more.
  closed(error) {
    const kept = error.status === 401 && this.sheet.unsaved();
    byId("main").hidden = !kept;
    byId("about").textContent = "";
    byId("going").hidden = true;
    this.uploads.stop();
    this.notice(kept ? `${error.message} What you wrote and did not save is still here, to be copied.` : error.message);
    return null;
  }
}

const pass = location.hash.slice(1);
if (pass) {
  const page = new Page(pass);
  addEventListener("visibilitychange", () => page.pace.turned());
  addEventListener("online", () => page.pace.now());
  addEventListener("hashchange", () => location.reload());
  page.pace.now();
} else {
  byId("about").textContent = "";
  byId("notice").textContent = "This link is not complete. Press Upload many on the dataset's card for a fresh link.";
  byId("notice").hidden = false;
}
