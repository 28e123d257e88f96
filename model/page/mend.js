// What Gradio's own parts lack.

// Where motion is unwanted a new film waits until someone plays it.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
document.addEventListener("loadstart", ({ target }) => delete target.dataset?.calmed, true);
document.addEventListener("play", ({ target }) => {
  if (!calm.matches || target.dataset.calmed) return;
  target.dataset.calmed = "yes";
  target.pause();
}, true);

// Gradio names the pictures of a gallery "Thumbnail 1 of 16"; for a screen reader too they are what stands under them.
const names = { truncations: "Truncation", map: "Neighbour", drawings: "Drawing" };
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

// A list that is left by the Tab key closes; Gradio would open it again for that key and let it lie over the page.
document.addEventListener("keydown", (event) => {
  if (event.key === "Tab" && event.target.getAttribute?.("role") === "combobox") event.stopPropagation();
}, true);

// Pictures that are too large are refused before they travel, in the same words as by the API.
document.addEventListener("change", (event) => {
  if (!event.target.closest?.("#example") || !(event.target.files?.[0]?.size > maxPicture)) return;
  event.stopImmediatePropagation();
  event.target.value = "";
  say(tooLarge);
}, true);

// The opening picture gives way to the page once that shows what its address asks for.
const began = Date.now();
const lift = setInterval(() => {
  const opening = document.getElementById("opening"), picture = document.querySelector("#picture img");
  const here = picture?.complete && picture.naturalWidth;
  if (opening && !(here && (restored || !location.search || Date.now() - began > 5000))) return;
  clearInterval(lift);
  opening?.classList.add("leaving");
  setTimeout(() => opening?.remove(), calm.matches ? 0 : 150);
}, 50);
