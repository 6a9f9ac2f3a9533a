// Captions as files: all of them, to keep or to change elsewhere; and back, shown before anything is written.

import { byId, node, sentenceOf } from "./dom.js";

export class Files {
  constructor(api, dialog, many) {
    this.api = api;
    this.dialog = dialog;
    this.many = many;
    const input = byId("import-file");
    byId("import").addEventListener("click", () => input.click());
    input.addEventListener("change", () => { this.import(input.files[0]); input.value = ""; });
    byId("export-text").addEventListener("click", () => this.export("text"));
    byId("export-zip").addEventListener("click", () => this.export("zip"));
  }

  async import(file) {
    if (!file) return;
    const offer = await this.dialog.ask("POST", `api/captions?name=${encodeURIComponent(file.name)}`, file);
    if (offer) this.many.showOffer(offer.value);
  }

  async export(form) {
    try {
      const answer = await this.api.fetch(`api/captions?form=${form}`, {});
      if (!answer.ok) return this.dialog.done((await answer.json()).error);
      const link = node("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = answer.headers.get("Content-Disposition").split('"')[1];
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (error) {
      this.dialog.done(sentenceOf(error));
    }
    return undefined;
  }
}
