const place = element.querySelector(".place"), line = element.querySelector(".line");
const bar = element.querySelector("progress"), wait = element.querySelector(".wait"), stop = element.querySelector(".stop");
const text = element.querySelector(".text"), why = element.querySelector(".why");
const SHOWN_MS = 4000, LETTER_MS = 60, PAUSE_MS = 80, ECHO_MS = 1000;
const floats = Boolean(element.closest("#status"));
line.classList.toggle("first", floats);
let inSight = true, wanted = false, timer = 0, speech = 0, last = "", heard = -Infinity;

function float() {
  line.classList.toggle("afloat", floats && wanted && !inSight);
}

function want(kind, words) {
  clearTimeout(timer);
  wanted = Boolean(words);
  if (kind === "done") timer = setTimeout(() => { wanted = false; float(); }, SHOWN_MS + LETTER_MS * words.length);
  float();
}

/** Words that are there already are taken away first, so that screen readers say them again; but Gradio tells
    the last line of a step twice. */
function say(words, again) {
  const echo = words === last && performance.now() - heard < ECHO_MS;
  const repeated = words === last && again && !echo;
  last = words;
  if (again) heard = performance.now();
  if (echo) return;
  clearTimeout(speech);
  if (repeated) {
    text.textContent = "";
    speech = setTimeout(() => { text.textContent = words; }, PAUSE_MS);
  } else if (text.textContent !== words) text.textContent = words;
}

function update() {
  const value = props.value;
  if (!value) return;
  const words = translate(value.brief || value.text || ""), working = value.kind === "working";
  line.dataset.kind = value.kind;
  line.dataset.empty = String(!words);
  text.dataset.sentence = String(/^[\p{Ll}']+:? /u.test(words)); // not a file's name
  bar.hidden = !working;
  why.hidden = !value.brief;
  why.open = false;
  why.querySelector(".detail").textContent = value.brief ? translate(value.text) : "";
  wait.textContent = working ? translate(value.wait || "") : "";
  stop.hidden = !working;
  if (value.fraction == null) bar.removeAttribute("value");
  else bar.value = value.fraction;
  say(words, !working);
  want(value.kind, words);
  if (!working) {
    if (floats) tell("resefa-answered");
    setTimeout(() => { props.value = null; }); // so that the same line is news when it comes again
  }
}

new IntersectionObserver(([entry]) => {
  inSight = entry.isIntersecting;
  if (inSight && line.dataset.kind === "problem") wanted = false;
  float();
}).observe(place);
stop.addEventListener("click", () => trigger("input"));
element.querySelector(".close").addEventListener("click", () => { wanted = false; float(); });
watch("value", update);
update();
