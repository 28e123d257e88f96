// Lines to share the face of the Seed tab: a link that shows it where it is pasted, and what websites and Markdown take.
const shareLines = () => {
  const typed = document.querySelector("#seed input, #seed textarea")?.value.trim() ?? "";
  const who = wantedSeed() === shownSeed() && typed ? typed : shownSeed() ?? ""; // a name stays a name
  const asked = new URLSearchParams(location.search), chosen = new URLSearchParams();
  for (const [name, usual] of [["truncation", "1"], ["model", models[0]]]) {
    const value = asked.get(name);
    if (value !== null && value !== usual) chosen.set(name, value);
  }
  const place = (kind, query) => `${new URL(kind, new URL(".", location.href))}${encodeURIComponent(who)}${query}`;
  const picture = place("face/", `.png?${new URLSearchParams([["size", "256"], ["style", bestStyle], ...chosen])}`);
  const text = who.replace(/[&<>"\[\]]/g, ""); // stands in a line of somebody's HTML or Markdown
  return {
    link: place("s/", chosen.size ? `?${chosen}` : ""),
    html: `<img src="${picture.replaceAll("&", "&amp;")}" alt="${text}" width="256" height="256">`,
    markdown: `![${text}](${picture})`,
  };
};
setInterval(() => {
  if (!document.querySelector("#share details[open]")) return;
  for (const [kind, line] of Object.entries(shareLines())) {
    const button = document.querySelector(`#share [data-line=${kind}]`);
    if (button.textContent !== line) button.textContent = line;
  }
}, 250);
document.addEventListener("click", async ({ target }) => {
  const line = target.closest?.("#share .line");
  if (!line) return;
  try {
    await navigator.clipboard.writeText(line.textContent);
    say("Copied.");
  } catch { // no clipboard without HTTPS or consent
    prompt("The line to copy", line.textContent);
  }
});
