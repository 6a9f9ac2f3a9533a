// A square drawn from the picture and its box: left, top, right and lower edge as shares of the picture's sides.

import { node } from "./dom.js";

// The picture with what the square leaves out dimmed.
export function before(cut) {
  const [left, top, right, lower] = cut.box;
  const frame = node("span", cut.height > cut.width ? "before tall" : "before");
  frame.style.aspectRatio = `${cut.width} / ${cut.height}`;
  frame.style.maxWidth = `calc(${cut.width / cut.height} * 52vh)`; // the buttons stay in sight
  const kept = node("span", "kept");
  Object.assign(kept.style, { left: share(left), top: share(top), width: share(right - left), height: share(lower - top) });
  frame.append(image(), kept);
  return frame;
}

// The square alone.
export function after(cut) {
  const [left, top, right, lower] = cut.box;
  const [width, height] = [right - left, lower - top];
  const frame = node("span", "after");
  const whole = image();
  Object.assign(whole.style, { width: share(1 / width), left: share(-left / width), top: share(-top / height) });
  frame.append(whole);
  return frame;
}

function image() {
  const made = node("img");
  made.alt = "";
  return made;
}

function share(part) {
  return `${part * 100}%`;
}
