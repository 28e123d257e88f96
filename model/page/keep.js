// What a visitor keeps: the last faces and favourites, in this browser alone. A face is an address and a small picture.
const LATELY = 24, FAVOURITES = 60;
const kept = { lately: [], favourites: [] };
for (const list of Object.keys(kept)) {
  try {
    const stored = JSON.parse(localStorage.getItem(`faces.${list}`) ?? "[]");
    kept[list] = stored.filter(({ address, name, picture }) =>
      [address, name, picture].every((text) => typeof text === "string")
      && address.startsWith("?") && picture.startsWith("data:image/"));
  } catch { // storage is switched off, or holds what is none of ours: the lists begin empty
  }
}

const write = (list) => {
  try {
    localStorage.setItem(`faces.${list}`, JSON.stringify(kept[list]));
  } catch { // full or switched off: they last as long as this page
  }
  show(list);
};
const show = (list) => document.getElementById(list)?.replaceChildren(...kept[list].map(({ address, name, picture }) => {
  const image = Object.assign(new Image(64, 64), { src: picture, alt: name });
  const link = Object.assign(document.createElement("a"), { className: "leaf", href: address, title: name });
  const item = document.createElement("li");
  link.append(image);
  item.append(link);
  return item;
}));

// The face that a tab shows: its address is that of the page, but for the theme.
const VIEWS = { seed: "picture", explore: "explored" };
const shownAddress = () => {
  const query = new URLSearchParams(location.search);
  query.delete("__theme");
  return query.size ? `?${query}` : `?tab=seed&seed=${shownSeed() ?? ""}`;
};
// One face may have several addresses: what is as usual may be left out of them, and no enlarging makes it another.
const USUAL = { tab: "seed", truncation: "1", model: models[0] };
const plain = (address) => {
  const query = new URLSearchParams(address);
  query.delete("enlarge");
  for (const [key, value] of [...query]) if (!value || USUAL[key] === value) query.delete(key);
  query.sort();
  return `${query}`;
};
const isSame = (one, other) => plain(one.address) === plain(other.address);
const view = () => document.querySelector(`#${VIEWS[openTab()]} img`);
const shownSeed = () => document.querySelector("#picture img")?.src.match(/\/seed-(\d+)/)?.[1];
const current = () => {
  const image = view();
  if (!image?.complete || !image.naturalWidth) return null;
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  canvas.getContext("2d").drawImage(image, 0, 0, 64, 64);
  const name = openTab() === "seed" ? words() : "An explored face";
  return { address: shownAddress(), name, picture: canvas.toDataURL("image/webp", 0.85) };
};
const without = (list, face) => kept[list].filter((other) => !isSame(face, other));

const keepLately = () => {
  const face = current();
  if (!face || kept.lately.some((other) => isSame(face, other))) return; // going back is no new face
  kept.lately = [face, ...kept.lately].slice(0, LATELY);
  write("lately");
};
const favourite = () => {
  const face = current();
  if (!face) return;
  const others = without("favourites", face);
  const known = others.length < kept.favourites.length;
  kept.favourites = known ? others : [face, ...others].slice(0, FAVOURITES);
  write("favourites");
  agree();
};

// What stands below a face is what it is, and it says so while the field asks for another one already.
const wantedSeed = () => {
  const text = document.querySelector("#seed input, #seed textarea")?.value.trim() ?? "";
  if (/^\d+$/.test(text)) return text.replace(/^0+(?=\d)/, "");
  return text && document.querySelector("#name p")?.textContent.startsWith(`${text} =`)
    ? document.querySelector("#name [data-seed]").dataset.seed : null;
};
const words = () => {
  const name = document.querySelector("#name [data-seed]");
  const seed = shownSeed() ?? "";
  return name?.dataset.seed === seed ? name.textContent : `Seed ${seed}`;
};
const agree = () => {
  const note = document.querySelector("#name p"), typed = document.querySelector("#seed input, #seed textarea")?.value.trim();
  if (note) note.hidden = !note.textContent.startsWith(`${typed} =`); // while the next one is looked up
  const picture = document.getElementById("picture");
  if (!picture) return;
  const wanted = wantedSeed(), seed = shownSeed();
  const stale = wanted !== null && seed !== undefined && wanted !== seed;
  picture.classList.toggle("stale", stale);
  const address = shownAddress();
  for (const caption of document.querySelectorAll(".caption")) {
    const [text, heart] = caption.children;
    const sentence = caption.dataset.of === "explored" ? "Where you are" : stale ? `Still seed ${seed}` : words();
    if (text.textContent !== sentence) text.textContent = sentence;
    const pressed = String(kept.favourites.some((face) => isSame(face, { address })));
    if (heart.ariaPressed !== pressed) heart.ariaPressed = pressed;
  }
};
let loaded = Date.now(); // when a picture came that is not kept yet; its address follows a moment later
setInterval(() => {
  agree();
  if (loaded && restored && Date.now() - loaded > 400) {
    loaded = 0;
    keepLately();
  }
  for (const list of Object.keys(kept)) {
    const place = document.getElementById(list);
    if (place && place.childElementCount !== kept[list].length) show(list);
  }
}, 250);
document.addEventListener("load", ({ target }) => {
  if (target.matches?.("#picture img, #explored img")) loaded = Date.now();
}, true);

document.addEventListener("click", () => { // whoever is quick leaves a face before that
  const asked = new URLSearchParams(location.search).get("seed");
  if (!loaded || !restored || openTab() !== "seed" || (asked !== null && asked !== shownSeed())) return;
  loaded = 0;
  keepLately();
}, true);

document.addEventListener("click", (event) => {
  if (event.target.closest?.(".heart")) favourite();
  const leaf = event.target.closest?.("a.leaf");
  if (!leaf || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(leaf.getAttribute("href"));
  document.getElementById("picture")?.scrollIntoView({ block: "nearest" });
});

// The space bar draws the next face, the arrow keys go back and forth; where keys mean something else they keep that.
const BUSY = "input, textarea, select, button, a, video, summary, [role=tab], [role=slider], [role=button], [role=option]";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.target.closest?.("input, textarea, select"))
    return;
  const busy = event.target.closest?.(BUSY);
  if (event.key === " " && (!busy || busy.closest(".image-container"))) {
    event.preventDefault();
    if (!event.repeat) [...document.querySelectorAll("button.roll")].find((button) => button.offsetParent)?.click();
  } else if (event.key === "ArrowLeft" && !event.target.closest?.("video, [role=slider]")) {
    if (history.state?.step > 0) history.back();
  } else if (event.key === "ArrowRight" && !event.target.closest?.("video, [role=slider]")) history.forward();
});
