// A face's PNG that is dropped on the page, or chosen below, brings that face back. What a file says is a stranger's
// word: it is read here, and all that comes of it is an address of this page, which is checked as any other.
const KEYWORD = "anime-dcgan", LOOKED_INTO = 2 ** 16, MOST_TEXT = 2 ** 14; // as in memory.py; in bytes and characters
const SILENT = "This picture does not say how it was drawn. To find a face like it, drop it in Explore.";

const chunkOf = (bytes) => { // the text of our chunk, which stands before the pixels
  const view = new DataView(bytes.buffer), text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  if (text(0, 8) !== "\x89PNG\r\n\x1a\n") return null;
  for (let at = 8; at + 12 <= bytes.length;) {
    const kind = text(at + 4, at + 8), begin = at + 8, end = begin + view.getUint32(at);
    if (kind === "IDAT" || end > bytes.length) return null;
    const ours = kind === "tEXt" && text(begin, begin + KEYWORD.length + 1) === `${KEYWORD}\0`;
    if (ours) return end - begin <= MOST_TEXT ? text(begin + KEYWORD.length + 1, end) : null;
    at = end + 4; // after its checksum
  }
  return null;
};

const within = (value, low, high) => typeof value === "number" && value >= low && value <= high;
const FACTS = {
  seed: (value) => Number.isInteger(value) && within(value, 0, 2 ** 32 - 1),
  code: (value) => typeof value === "string" && /^z[\w-]{1,5500}$/.test(value),
  truncation: (value) => within(value, 0, 1.5),
  moves: (value) => Array.isArray(value) && value.length <= 64 && value.every((move) => within(move, -4, 4)),
  model: (value) => typeof value === "string" && /^[A-Za-z0-9][\w.-]{0,95}(\/[A-Za-z0-9][\w.-]{0,95})?$/.test(value),
  revision: (value) => typeof value === "string" && /^[A-Za-z0-9][\w./-]{0,199}$/.test(value),
};
const factsOf = (text) => {
  let facts = null;
  try {
    facts = JSON.parse(text ?? "");
  } catch { // not what this program writes
  }
  const entries = facts && typeof facts === "object" && !Array.isArray(facts) ? Object.entries(facts) : [];
  const sound = entries.every(([key, value]) => Object.hasOwn(FACTS, key) && FACTS[key](value));
  return sound && "seed" in Object(facts) !== "code" in Object(facts) ? facts : null;
};

const recall = async (file) => { // whether it was a face that this page can draw again, or one that it cannot
  const bytes = new Uint8Array(await file.slice(0, LOOKED_INTO).arrayBuffer());
  const facts = factsOf(chunkOf(bytes));
  if (!facts) return false;
  const { seed, code, truncation = 1, moves = [], model = models[0], revision } = facts;
  const chosen = new URLSearchParams(location.search).get("model");
  if (!models.includes(model) && model !== chosen) { // nothing is fetched because a file says so
    say(`This face was drawn by ${model}, which is not a model of this page; choose it under Model first.`);
    return true;
  }
  const plain = seed !== undefined && !moves.length;
  const query = new URLSearchParams(plain ? { tab: "seed", seed } : { tab: "explore", start: seed ?? code });
  query.set("truncation", truncation);
  if (moves.length) query.set("moves", moves.join());
  if (model !== models[0]) query.set("model", model);
  go(`?${query}`);
  if (revision && models.includes(model) && revision !== revisions[model])
    say("The model has changed since this picture was drawn; this is what it draws today.");
  return true;
};

addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
document.addEventListener("drop", async (event) => {
  const [file] = event.dataTransfer?.files ?? [], place = event.target.closest?.("#example");
  const input = place?.querySelector("input[type=file]"); // where any picture may lie, and is searched for
  if (!file || (place && !(input && file.type === "image/png"))) return;
  event.preventDefault();
  event.stopPropagation();
  if (await recall(file)) return;
  if (!input) return say(SILENT);
  const carried = new DataTransfer();
  carried.items.add(file);
  input.files = carried.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}, true);
document.addEventListener("change", async ({ target }) => {
  if (target.id !== "recall" || !target.files.length) return;
  const [file] = target.files;
  target.value = "";
  if (!await recall(file)) say(SILENT);
});
