// A dataset's page: joins the hand-over (upload.js) and the sheet (sheet.js) to the bot's interface under api/.
// The pass comes in the address's fragment, which browsers send to nobody, and goes out in a header.

import { Sheet } from "./sheet.js";
import { Uploads } from "./upload.js";

const BUSY_SECONDS = 4; // between two looks while captions are being written
const QUIET_SECONDS = 20;
const byId = (id) => document.getElementById(id);

class Api {
  constructor(pass) {
    this.headers = { Authorization: `Bearer ${pass}` };
  }

  async json(method, path, body) {
    const answer = await this.fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
    const value = await answer.json();
    if (!answer.ok && value.error) throw new Refusal(value.error, answer.status);
    return { value, status: answer.status };
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
    this.sheet = new Sheet(this.api, (sentence) => this.notice(sentence));
    this.uploads = new Uploads(this.api.headers, {
      known: (sha256) => this.sheet.has(sha256),
      added: (picture) => this.added(picture),
    });
    this.timer = 0;
  }

  async load() {
    clearTimeout(this.timer);
    try {
      const { value } = await this.api.json("GET", "api/dataset");
      this.show(value);
      this.notice("");
    } catch (error) {
      if (error instanceof Refusal && error.status !== 429 && error.status < 500) return this.closed(error.message);
      this.notice("No connection to the bot. Nothing is lost; the page goes on by itself.");
    }
    const seconds = this.sheet.waiting() ? BUSY_SECONDS : QUIET_SECONDS;
    this.timer = setTimeout(() => (document.hidden ? 0 : this.load()), seconds * 1000);
  }

  show(dataset) {
    this.dataset = dataset;
    document.title = dataset.name;
    byId("name").textContent = dataset.name;
    byId("hand-over").hidden = !dataset.open;
    byId("main").hidden = false;
    this.uploads.limit = dataset.max_file_bytes;
    this.sheet.show(dataset);
    this.count();
  }

  count() {
    const { trigger, class_word: word, max_pictures: most } = this.dataset;
    const what = word ? `${trigger}, ${word}` : trigger;
    byId("about").textContent = `${what} · ${this.sheet.size()} of at most ${most} pictures`;
  }

  added(picture) {
    this.sheet.add(picture);
    this.count();
  }

  notice(sentence) {
    byId("notice").textContent = sentence;
    byId("notice").hidden = !sentence;
    if (this.dataset) this.count();
  }

  closed(sentence) {
    byId("main").hidden = true;
    byId("about").textContent = "";
    this.uploads.stop();
    this.notice(sentence);
  }
}

const pass = location.hash.slice(1);
if (pass) {
  const page = new Page(pass);
  addEventListener("visibilitychange", () => { if (!document.hidden) page.load(); });
  addEventListener("online", () => page.load());
  addEventListener("hashchange", () => location.reload());
  page.load();
} else {
  byId("about").textContent = "";
  byId("notice").textContent = "This link is not complete. Press Upload many on the dataset's card for a fresh link.";
  byId("notice").hidden = false;
}
