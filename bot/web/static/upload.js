// Hands pictures over, a few at a time, and archives of pictures one by one. Each file is one PUT named by its sha256:
// sending it again changes nothing, so a broken connection is met by trying again, and a closed page by choosing the
// same files once more. An archive then begins anew; its pictures that were taken already are not taken twice.

import { byId, node } from "./dom.js";
import { sha256 } from "./sha256.js";

const AT_ONCE = 3;
const LONGEST_PAUSE = 15; // seconds between two tries
const THUMB = 120; // pixels
const MARKS = { added: "✓", known: "=", refused: "!" };
const ARCHIVE = /\.zip$/i;

export class Uploads {
  constructor(headers, { known, added, sent }) {
    this.headers = headers;
    this.known = known;
    this.added = added;
    this.sent = sent; // an archive is there and being unpacked
    this.limits = { picture: Infinity, archive: Infinity };
    this.items = [];
    this.active = 0;
    this.stopped = false;
    this.wakes = new Set();
    const input = byId("files");
    input.addEventListener("change", () => { this.add(input.files); input.value = ""; });
    this.listenForDrops(byId("drop"));
    const wake = () => { for (const each of this.wakes) each(); };
    addEventListener("online", wake);
    addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });
    addEventListener("beforeunload", (event) => { if (this.left()) event.preventDefault(); });
  }

  listenForDrops(drop) {
    addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    for (const file of files) {
      const key = `${file.name}/${file.size}/${file.lastModified}`;
      if (this.items.some((item) => item.key === key && item.state !== "refused")) continue;
      const archive = ARCHIVE.test(file.name);
      this.items.push({ file, key, archive, state: "waiting", tries: 0, pictures: 0, ...tileFor(file, archive) });
    }
    byId("progress").hidden = !this.items.length;
    this.draw();
    this.pump();
  }

  stop() {
    this.stopped = true;
  }

  left() {
    return this.stopped ? 0 : this.items.filter((item) => !(item.state in MARKS)).length;
  }

  pump() {
    while (this.active < AT_ONCE && !this.stopped) {
      const unpacking = this.items.some((each) => each.archive && ["sending", "unpacking"].includes(each.state));
      const item = this.items.find((each) => each.state === "waiting" && !(each.archive && unpacking));
      if (!item) return;
      this.active += 1;
      this.set(item, "sending");
      this.run(item).finally(() => { this.active -= 1; this.pump(); });
    }
  }

  async run(item) {
    const { file, archive } = item;
    const limit = this.limits[archive ? "archive" : "picture"];
    if (file.size > limit) {
      const remedy = archive ? "Choose the pictures by themselves." : "Send a smaller copy.";
      return this.refuse(item, `“${file.name}” is larger than ${Math.floor(limit / 2 ** 20)} MB. ${remedy}`);
    }
    let digest;
    try {
      digest = await sha256(await file.arrayBuffer());
    } catch {
      return this.refuse(item, `“${file.name}” could not be read from this device. Choose it once more.`);
    }
    if (!archive) await drawThumb(item);
    if (this.known(digest)) return this.set(item, "known");
    while (!this.stopped) {
      const answer = await this.send(item, digest);
      if (answer) return this.finish(item, answer);
      if (item.state === "unpacking") this.set(item, "sending");
      item.tries += 1;
      await this.pause(Math.min(2 ** (item.tries - 1), LONGEST_PAUSE));
    }
    return undefined;
  }

  // What the bot said; null when it did not hear the file, or not whole.
  send(item, digest) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `api/file/${digest}?name=${encodeURIComponent(item.file.name)}`);
      for (const [name, value] of Object.entries(this.headers)) request.setRequestHeader(name, value);
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => { item.bar.value = event.loaded / Math.max(event.total, 1); });
      if (item.archive) request.upload.addEventListener("load", () => { this.set(item, "unpacking"); this.sent(); });
      request.addEventListener("load", () => {
        const again = request.status === 400 || request.status === 429 || request.status >= 500 && request.status !== 507;
        resolve(again || !request.response ? null : request.response);
      });
      for (const kind of ["error", "abort", "timeout"]) request.addEventListener(kind, () => resolve(null));
      request.send(item.file);
    });
  }

  pause(seconds) {
    this.draw();
    return new Promise((resolve) => {
      const go = () => { clearTimeout(timer); this.wakes.delete(go); resolve(); };
      const timer = setTimeout(go, seconds * 1000);
      this.wakes.add(go);
    });
  }

  finish(item, answer) {
    item.tries = 0;
    if (answer.state === "added") {
      item.pictures = answer.pictures.length;
      item.why = answer.why; // of an archive: what was left out of it
      this.set(item, "added");
      this.added(answer.pictures);
    } else if (answer.state === "known") {
      item.why = answer.why;
      this.set(item, "known");
    } else {
      this.refuse(item, answer.why || answer.error);
    }
  }

  refuse(item, why) {
    item.why = why;
    this.set(item, "refused");
  }

  set(item, state) {
    item.state = state;
    item.tile.className = `tile ${state}`;
    item.mark.textContent = MARKS[state] || "";
    item.tile.title = item.why || item.file.name;
    if (item.why) {
      byId("problems").append(node("li", "", item.why));
    }
    if (state === "sending") item.tile.parentElement.scrollTop = item.tile.offsetTop - item.tile.parentElement.offsetTop - 60;
    this.draw();
  }

  draw() {
    const times = (state) => this.items.filter((item) => item.state === state).length;
    const [known, refused] = ["known", "refused"].map(times);
    const parts = [`${this.items.reduce((sum, item) => sum + item.pictures, 0)} added`];
    if (known) parts.push(`${known} there already`);
    if (refused) parts.push(`${refused} not taken`);
    const left = this.left();
    const broken = this.items.some((item) => item.state === "sending" && item.tries > 0);
    if (left && broken) parts.push(`${left} to go · no connection, trying again`);
    else if (left) parts.push(`${left} to go`);
    const unpacking = this.items.find((item) => item.state === "unpacking");
    if (unpacking) parts.push(`unpacking “${unpacking.file.name}” …`);
    byId("line").textContent = `${parts.join(" · ")}${left ? "" : ". You can close this page."}`;
    byId("bar").value = this.items.length ? 1 - left / this.items.length : 0;
  }
}

function tileFor(file, archive) {
  const [tile, bar, mark] = [node("div", "tile waiting"), node("progress"), node("span", "mark")];
  const canvas = archive ? node("span", "kind", "ZIP") : node("canvas");
  bar.max = 1;
  bar.value = 0;
  tile.title = file.name;
  tile.append(canvas, bar, mark);
  byId("tiles").append(tile);
  return { tile, bar, mark, canvas };
}

// A small picture made on this device; a kind the browser cannot open (HEIC) stays grey.
async function drawThumb(item) {
  try {
    const bitmap = await createImageBitmap(item.file);
    const scale = THUMB / Math.min(bitmap.width, bitmap.height);
    item.canvas.width = item.canvas.height = THUMB;
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    item.canvas.getContext("2d").drawImage(bitmap, (THUMB - width) / 2, (THUMB - height) / 2, width, height);
    bitmap.close();
  } catch {
    item.canvas.remove();
  }
}
