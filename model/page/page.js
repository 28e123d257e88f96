const randomSeed = () => Math.floor(Math.random() * 2 ** 32);
const randomSeeds = () => [1, 2, 3].map(randomSeed).join(", ");
const randomStart = () => [String(randomSeed()), ""];
const stepBack = (steps) => steps.split(".").slice(0, -1).join(".");
const amounts = (...values) => values.map((value) => Number(value.toFixed(2))).join(",").replace(/(^|,)0(,0)*$/, "");

const saveFile = (file) => {
  const { url, orig_name } = file.video ?? file;
  Object.assign(document.createElement("a"), { href: url, download: orig_name ?? "" }).click();
};

// The address carries the tab and its controls; on a Space it is the address of the page around this one.
let restored = false; // until then the tabs that appear must not write over the address that is being opened
const drawn = (tab, keys, values) => { // another model draws in all tabs; the address is that of the open one
  const open = document.querySelector('[role="tab"][aria-selected="true"]');
  if (open?.textContent.trim().toLowerCase() === tab) remember(tab, keys, values);
};
const remember = (tab, keys, values) => {
  if (!restored || values.includes(null) || values[0] === "") return; // an empty field is no address
  const query = new URLSearchParams({ tab });
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) query.set("__theme", theme);
  keys.forEach((key, i) => {
    if (key !== "model" || values[i] !== ownModel) query.set(key, values[i]);
  });
  history.replaceState(history.state, "", `?${query}`);
  if (window.parent !== window) window.parent.postMessage({ queryString: `${query}` }, "https://huggingface.co");
};

// Controls that change together, as when an address is opened, change one after the other: what is drawn then is drawn
// once, with the values of all. The number is new when there is something to draw; an address has been drawn already.
let settling = null;
const settle = () => (settling ??= new Promise((done) => setTimeout(() => {
  settling = null;
  done(restored ? Date.now() : null);
}, 20)));

// Both give the label that the button then bears.
const copyLink = async (tab, keys, values) => {
  remember(tab, keys, values);
  try {
    await navigator.clipboard.writeText(location.href);
    return "Link copied";
  } catch { // no clipboard without HTTPS or consent
    prompt("The link of this page", location.href);
    return "Copy link";
  }
};
const later = (label) => () => new Promise((done) => setTimeout(done, 2000, label));

// Where motion is unwanted a new film waits until someone plays it.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
document.addEventListener("loadstart", ({ target }) => delete target.dataset.calmed, true);
document.addEventListener("play", ({ target }) => {
  if (!calm.matches || target.dataset.calmed) return;
  target.dataset.calmed = "yes";
  target.pause();
}, true);

// Gradio names the pictures of a gallery "Thumbnail 1 of 16"; for a screen reader too they are what stands under them.
const names = { truncations: "Creativity", map: "Neighbour" };
new MutationObserver(() => {
  for (const button of document.querySelectorAll(".grid-container button.thumbnail-item")) {
    const name = `${names[button.closest(".block").id] ?? "Seed"} ${button.textContent.trim()}`;
    if (button.ariaLabel !== name) button.ariaLabel = name;
    const image = button.querySelector("img");
    if (image?.alt) image.alt = "";
  }
  for (const video of document.querySelectorAll("#video video")) { // phones play only what is silent and in its place
    if (!video.muted) Object.assign(video, { muted: true, playsInline: true });
  }
  document.querySelector("#example button.upload-container")?.removeAttribute("aria-label"); // its text says the same
}).observe(document, { subtree: true, childList: true, characterData: true, attributeFilter: ["alt", "aria-label"] });
