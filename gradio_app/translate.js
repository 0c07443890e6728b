/** Texts in the visitor's language, of the words that the page has brought: a known one, or one of a known form such
    as `picture {number}`, or one that is put together of such; English otherwise. Forms are tried as they stand in the
    language's file, from the top. What stands in a form's place is translated where it is known; digits alone stand
    for `{number}`, and known texts alone for `{words}`. */
window.resefa.translate = (() => {
  const WORDS = new Map(Object.entries(window.resefa.words));
  const joint = (mark) => WORDS.get(mark) ?? mark;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => Object.hasOwn(values, name) ? values[name] : whole);

  let made;
  const told = new Map(WORDS); // what was looked for already, with what was found
  function known(text) {
    if (!WORDS.size) return undefined;
    if (!told.has(text)) told.set(text, ofSentences(text) ?? ofParts(text, "; ") ?? ofForm(text) ?? ofParts(text, " / ", ", ") ?? ofWords(text));
    return told.get(text);
  }
  function ofSentences(text) {
    const sentences = text.split(/(?<=[.!?]) (?=\p{Lu})/u);
    if (sentences.length > 1) return sentences.map((each) => known(each) ?? each).join(joint(" "));
    const sentence = text.endsWith(".") ? known(text.slice(0, -1)) : undefined;
    return sentence && sentence + joint(".");
  }
  function ofParts(text, ...marks) {
    for (const mark of marks) {
      const parts = text.split(mark), found = parts.length > 1 ? parts.map(known) : [undefined];
      if (!found.includes(undefined)) return found.join(joint(mark));
    }
  }
  function ofWords(text) {
    for (let at = text.indexOf(" "); at > 0; at = text.indexOf(" ", at + 1)) {
      const first = WORDS.get(text.slice(0, at)), rest = first && known(text.slice(at + 1));
      if (rest) return first + joint(": ") + rest;
    }
  }
  function ofForm(text) {
    for (const { form, names, words } of (made ??= forms())) {
      const [, ...found] = form.exec(text) ?? [];
      const values = found.map((each, at) => names[at] === "number" ? each : known(each) ?? (names[at] === "words" ? undefined : each));
      if (found.length && !values.includes(undefined)) return fill(words, Object.fromEntries(names.map((name, at) => [name, values[at]])));
    }
  }
  function forms() {
    const plain = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return [...WORDS].filter(([text]) => text.includes("{")).map(([text, words]) => {
      const pieces = text.split(/\{(\w+)\}/), names = pieces.filter((_, at) => at % 2);
      const form = pieces.map((piece, at) => at % 2 ? (piece === "number" ? "([\\d.,]+)" : "(.+)") : plain(piece)).join("");
      return { form: new RegExp("^" + form + "$", "su"), names, words };
    });
  }

  return (text, values = {}) => fill(known(text) ?? text, values);
})();
