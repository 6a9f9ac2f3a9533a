// How often the page looks for news: soon after something changed, then ever more seldom, and not while it is hidden.

export const FIRST = 2; // seconds
export const BUSY = 20; // at most so long while the bot is still working on something
export const QUIET = 60;

export class Pace {
  // `look` gives { news, busy }, or null when there is nothing more to look for.
  constructor(look, { hidden = () => document.hidden, later = setTimeout, cancel = clearTimeout } = {}) {
    this.look = look;
    this.hidden = hidden;
    this.later = (act, seconds) => later(act, seconds * 1000);
    this.cancel = (timer) => cancel(timer);
    this.timer = null;
    this.pause = FIRST;
    this.looking = null;
    this.ended = false;
  }

  // Look at once, and soon again; a look that is under way may have missed what is asked for, so it is not enough.
  async now() {
    this.pause = FIRST;
    while (this.looking) await this.looking;
    this.looking = this.turn();
    return this.looking;
  }

  async turn() {
    this.rest();
    const found = await this.look();
    this.looking = null;
    if (!found) this.ended = true;
    if (this.ended) return;
    this.pause = found.news ? FIRST : Math.min(this.pause * 2, found.busy ? BUSY : QUIET);
    if (!this.hidden()) this.timer = this.later(() => { this.looking = this.turn(); }, this.pause);
  }

  // The page was hidden, or is seen again.
  turned() {
    if (this.hidden()) this.rest();
    else if (!this.ended) this.now();
  }

  rest() {
    if (this.timer !== null) this.cancel(this.timer);
    this.timer = null;
  }
}
