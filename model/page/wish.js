// Wishes are a text, and chips that write it; of two opposites, which stand side by side, one at most is chosen.
const phrases = () => [...document.querySelectorAll("#wishes label")].map((label) => label.textContent.trim());
const wished = (text) => text.toLowerCase().split(",").map((part) => part.trim());
const chipsOf = (text) => [phrases().filter((phrase) => wished(text).includes(phrase))];
const wishFor = (chosen, before) => {
  const every = phrases(), known = wished(before);
  const opposites = chosen.filter((one) => !known.includes(one)).map((one) => every[every.indexOf(one) ^ 1]);
  return chosen.filter((one) => !opposites.includes(one)).join(", ");
};
const randomWish = () => {
  const every = phrases(), pairs = every.length / 2;
  const first = Math.floor(Math.random() * pairs), second = (first + 1 + Math.floor(Math.random() * (pairs - 1))) % pairs;
  const either = (pair) => every[2 * pair + Math.floor(Math.random() * 2)];
  return [...new Set([first, second])].filter((pair) => pair < pairs).map(either).join(", ");
};
