const randomNumber = () => String(Math.floor(Math.random() * 2 ** 32));
const randomSeed = randomNumber;
const randomSeeds = () => [1, 2, 3].map(randomNumber).join(", ");
const randomStart = () => [randomNumber(), ""];
const stepBack = (steps) => steps.split(".").slice(0, -1).join(".");
const styleOf = (model) => model.startsWith("blend:") ? Number(model.slice(6)) : Number(model !== "" && model === models[1]);
const amounts = (...values) => values.map((value) => Number(value.toFixed(2))).join(",").replace(/(^|,)0(,0)*$/, "");

// The address carries the tab and its controls; on a Space it is the address of the page around this one.
const asked = {}, shown = {}; // what each drawing was asked for, and what each tab shows, values of its controls
const same = (some, others) => JSON.stringify(some) === JSON.stringify(others);
let restored = false; // not yet, while an address is being opened: what changes then must not write over it
const openTab = () => document.querySelector('[role="tab"][aria-selected="true"]')?.dataset.tabId;
const drawn = (tab, keys, values) => { // another model draws in all tabs; the address is that of the open one
  if (openTab() === tab) remember(tab, keys, values);
};

// What a person does is one step, however often and in however many parts the page follows it; so is what is typed or
// dragged in one go. Going back or forth is an action that has its step already: what is drawn for it is not written.
let action = 0, stepped = 0, typing = false; // the last action, the last one that has its step, and whether it goes on
let returned = -1; // the last one that went back or forth
const act = () => {
  action += 1;
  typing = false;
};
document.addEventListener("input", () => {
  if (!typing) act();
  typing = true;
}, true);
document.addEventListener("click", ({ target }) => target.matches?.("input, textarea") || act(), true);
document.addEventListener("drop", act, true);
document.addEventListener("keydown", ({ key }) => key === "Enter" && act(), true);

const step = (query, goesOn) => {
  const number = (history.state?.step ?? 0) + Number(!goesOn);
  history[goesOn ? "replaceState" : "pushState"]({ ...history.state, step: number }, "", `?${query}`);
  stepped = action;
  tell(`${query}`);
};
const tell = (queryString) => {
  if (window.parent !== window) window.parent.postMessage({ queryString }, "https://huggingface.co");
};
const remember = (tab, keys, values) => {
  if (!restored || action === returned || values.includes(null) || values[0] === "") return; // empty: no address
  const query = new URLSearchParams({ tab });
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) query.set("__theme", theme);
  keys.forEach((key, i) => {
    if (key !== "model" || values[i] !== models[0]) query.set(key, values[i]);
  });
  if (`?${query}` === location.search) return;
  step(query, action === stepped);
};

// Back, forth, or to an address of this page, without loading it again.
const travel = () => {
  restored = false;
  document.querySelector("#travel").click();
  stepped = action;
};
const go = (address) => {
  const query = new URLSearchParams(address);
  const theme = new URLSearchParams(location.search).get("__theme");
  if (theme) query.set("__theme", theme);
  if (`?${query}` === location.search) return;
  step(query, false);
  travel();
};
const arrived = () => {
  for (const tab of Object.keys(shown)) delete shown[tab]; // the fields hold what is shown
  restored = true;
};
addEventListener("popstate", () => {
  travel();
  returned = action;
  tell(location.search.slice(1));
});

// Controls that change together, as when an address is opened, change one after the other: what is drawn then is drawn
// once, with the values of all. The number is new when there is something to draw; an address has been drawn already.
let settling = null;
const settle = async (before) => {
  const now = await (settling ??= new Promise((done) => setTimeout(() => {
    settling = null;
    done(Date.now());
  }, 20)));
  return restored ? now : before;
};

// Both give the label that the button then bears.
const copyLink = async (tab, keys, values) => {
  remember(tab, keys, values);
  const link = new URL(location.href);
  link.searchParams.delete("__theme"); // that is the taste of whoever copies it
  try {
    await navigator.clipboard.writeText(link.href);
    return "Link copied";
  } catch { // no clipboard without HTTPS or consent
    prompt("The link of this page", link.href);
    return "Copy link";
  }
};
const later = (label) => () => new Promise((done) => setTimeout(done, 2000, label));

// A file is saved if it is still there, and else that is said.
const say = (sentence) => {
  document.querySelector(".said")?.remove(); // the last one counts
  const note = Object.assign(document.createElement("p"), { className: "said", textContent: sentence });
  note.setAttribute("role", "alert");
  document.body.append(note);
  setTimeout(() => note.remove(), 6000);
};
const patience = 10_000; // milliseconds until a page that is silent counts as one that does not answer
const save = async (link) => {
  const asked = { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(patience) };
  const answer = await fetch(link.href, asked).catch(() => null);
  if (answer?.ok) Object.assign(document.createElement("a"), { href: link.href, download: link.download }).click();
  else say(answer?.status === 404 ? "This file is no longer kept; draw it again." : "The page does not answer; try again.");
};
// What a tab shows, by the name that it has on the page.
document.addEventListener("click", ({ target }) => {
  const tab = target.closest?.("button.save")?.closest("[role=tabpanel]");
  const { src } = tab?.querySelector("#picture img, #explored img, #video video") ?? {};
  if (src) save({ href: src, download: decodeURIComponent(new URL(src).pathname.split("/").pop()) });
}, true);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[download]");
  if (!link?.href.includes("/file=")) return;
  event.preventDefault();
  save(link);
}, true);
