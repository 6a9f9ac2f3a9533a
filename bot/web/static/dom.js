// Small helpers for what every part of the page builds.

export const byId = (id) => document.getElementById(id);

export function node(tag, name = "", words = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (words) made.textContent = words;
  return made;
}

export function button(words, act, name = "") {
  const made = node("button", name, words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// "1 picture", "3 pictures".
export function count(number, one) {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}

// Puts children in place of those there; the one the keyboard is on keeps it.
export function refill(parent, children) {
  const held = document.activeElement;
  parent.replaceChildren(...children);
  if (children.includes(held)) held.focus({ preventScroll: true });
}

// "● 3, 7, 9 Too small. Send the originals.": pictures with the same finding.
export function groupLine({ level, numbers, said }) {
  const more = numbers.length - 8;
  const shown = numbers.slice(0, 8).join(", ") + (more > 0 ? ` and ${more} more` : "");
  const line = node("li");
  line.append(node("b", `level ${level}`, shown), ` ${said}`);
  return line;
}

// What went wrong, as a sentence: the bot's own, or that it was not reached.
export function sentenceOf(error) {
  return error.status ? error.message : "No connection to the bot. Try again.";
}
