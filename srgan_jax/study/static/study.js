// Shows pictures at their pixels, measures for how long they were seen, and lets the keyboard do everything.
"use strict";

const pictures = [...document.querySelectorAll("img.picture")];
const form = document.getElementById("answer");
const answers = form ? [...form.querySelectorAll("button[name=score]")] : [];
const sides = [...document.querySelectorAll("button.side")];
const next = document.getElementById("next");
const seen = new Set([0]);
let shownAt = null;
let sent = false;

// How many screen pixels a picture's pixel is wide: a whole number, so that nothing is interpolated.
function magnification(picture) {
  return Number(picture.dataset.magnification) || Math.max(1, Math.floor(window.devicePixelRatio + 0.01));
}

function layOut() {
  const ratio = window.devicePixelRatio;
  for (const picture of pictures) {
    const size = magnification(picture) / ratio;
    picture.style.width = `${picture.getAttribute("width") * size}px`;
    picture.style.height = `${picture.getAttribute("height") * size}px`;
    // The corner has to lie on a screen pixel too, or the browser would add or drop one.
    picture.style.left = picture.style.top = "0";
    const { left, top } = picture.getBoundingClientRect();
    picture.style.left = `${(Math.round(left * ratio) - left * ratio) / ratio}px`;
    picture.style.top = `${(Math.round(top * ratio) - top * ratio) / ratio}px`;
  }
  const frame = document.querySelector(".frame");
  const hint = document.querySelector(".scroll");
  if (frame && hint) {
    hint.hidden = frame.scrollWidth <= frame.clientWidth && frame.scrollHeight <= frame.clientHeight;
  }
}

function allow() {
  const minimum = Number(pictures[0].dataset.minimum) * 1000;
  const left = shownAt === null ? Infinity : shownAt + minimum - performance.now();
  const ready = left <= 0 && seen.size >= pictures.length;
  for (const button of answers) button.disabled = !ready;
  if (left > 0 && left < Infinity) setTimeout(allow, left + 1);
}

function show(side) {
  pictures.forEach((picture, i) => { picture.hidden = i !== side; });
  sides.forEach((button, i) => { button.setAttribute("aria-pressed", String(i === side)); });
  seen.add(side);
  layOut();
  allow();
}

function preload() {
  for (const picture of pictures) {
    if (picture.dataset.preload) new Image().src = picture.dataset.preload;
  }
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (next && ["ArrowRight", "Enter", " "].includes(event.key)) {
    event.preventDefault();
    next.click();
    return;
  }
  const chosen = answers.find((button) => button.value === event.key);
  if (chosen && !event.repeat) {
    chosen.click();
    return;
  }
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || !form) return;
  event.preventDefault();
  if (sides.length) {
    show(step < 0 ? 0 : 1);
  } else {
    // No grade has the focus at first, as it would be chosen more often: arrows come in from their end of the scale.
    const at = answers.indexOf(document.activeElement);
    const to = at < 0 ? (step > 0 ? 0 : answers.length - 1) : at + step;
    answers[Math.min(Math.max(to, 0), answers.length - 1)].focus();
  }
}

function send(event) {
  if (sent) {  // a double click
    event.preventDefault();
    return;
  }
  sent = true;
  const values = {
    milliseconds: Math.round(performance.now() - shownAt),
    ratio: window.devicePixelRatio,
    magnification: magnification(pictures[0]),
    width: window.innerWidth,
    height: window.innerHeight,
  };
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
}

document.addEventListener("keydown", press);
window.addEventListener("resize", layOut);
window.addEventListener("pageshow", (event) => { if (event.persisted && form) location.replace("/rate"); });
sides.forEach((button, i) => button.addEventListener("click", () => show(i)));
if (pictures.length) layOut();
if (form) {
  for (const button of answers) button.disabled = true;
  form.addEventListener("submit", send);
}
Promise.all(pictures.map((picture) => picture.decode())).then(() => {
  requestAnimationFrame(() => {
    shownAt = performance.now();
    layOut();
    if (form) allow();
    preload();
  });
}).catch(() => { setTimeout(() => location.reload(), 3000); });  // the picture did not come: the server may be back soon
