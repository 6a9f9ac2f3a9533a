// Captions as files: all of them, to keep or to change elsewhere.

import { byId, node, sentenceOf } from "./dom.js";

export class Files {
  constructor(api, dialog) {
    this.api = api;
    this.dialog = dialog;
    byId("export-text").addEventListener("click", () => this.export("text"));
    byId("export-zip").addEventListener("click", () => this.export("zip"));
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
