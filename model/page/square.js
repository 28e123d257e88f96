// The square over an uploaded picture that holds the face, and what was found beside it.
const SQUARE = "The square with the face: drag it, or move it with the arrow keys and size it with + and -";
const square = { left: 0, top: 0, side: 0, asked: "" }; // in pixels of the picture; asked: where the last search was
const uploaded = () => document.querySelector("#example img");
const squareText = () => [square.left, square.top, square.side].map(Math.round).join(",");

// What is sent to the search: the largest square in the middle at first, then where a person put it.
const wholePicture = (picture, model, _, look) => [picture, model, square.asked = "", look];
const inSquare = (picture, model, _, look) => [picture, model, square.asked = squareText(), look];

// Where the picture itself lies within the square's own container, and how large one of its pixels is there.
const placed = (image) => {
  const box = image.getBoundingClientRect(), around = image.parentElement.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  return {
    scale,
    left: box.left - around.left + (box.width - scale * image.naturalWidth) / 2,
    top: box.top - around.top + (box.height - scale * image.naturalHeight) / 2,
  };
};
const fitSquare = () => {
  const { naturalWidth: width, naturalHeight: height } = uploaded();
  square.side = Math.min(Math.max(square.side, 16, Math.min(width, height) / 16), width, height);
  square.left = Math.min(Math.max(square.left, 0), width - square.side);
  square.top = Math.min(Math.max(square.top, 0), height - square.side);
};
const layOut = () => {
  const image = uploaded(), frame = document.getElementById("square");
  if (!image?.naturalWidth || !frame) return;
  const at = placed(image);
  Object.assign(frame.style, {
    left: `${at.left + square.left * at.scale}px`, top: `${at.top + square.top * at.scale}px`,
    width: `${square.side * at.scale}px`, height: `${square.side * at.scale}px`,
  });
};
const lookAgain = () => {
  if (square.asked !== squareText()) document.getElementById("look-again")?.click();
};

// A picture came: the square lies in its middle.
document.addEventListener("load", ({ target }) => {
  if (!target.matches?.("#example img") || target.dataset.squared === target.src) return;
  target.dataset.squared = target.src;
  const { naturalWidth: width, naturalHeight: height } = target;
  square.side = Math.min(width, height);
  square.left = Math.floor((width - square.side) / 2);
  square.top = Math.floor((height - square.side) / 2);
  let frame = document.getElementById("square");
  if (frame?.parentElement !== target.parentElement) {
    frame?.remove();
    frame = Object.assign(document.createElement("button"), { id: "square", type: "button", ariaLabel: SQUARE });
    frame.append(document.createElement("i"));
    target.parentElement.append(frame);
    new ResizeObserver(layOut).observe(target);
  }
  layOut();
}, true);

let held = null; // where the pointer and the square were when it was taken, and whether by its corner
document.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest?.("#square");
  if (!frame) return;
  frame.setPointerCapture(event.pointerId);
  held = { x: event.clientX, y: event.clientY, ...square, corner: event.target.matches("i") };
});
document.addEventListener("pointermove", (event) => {
  if (!held || !uploaded()) return;
  const { scale } = placed(uploaded());
  const x = (event.clientX - held.x) / scale, y = (event.clientY - held.y) / scale;
  if (held.corner) {
    const { naturalWidth, naturalHeight } = uploaded();
    square.side = Math.min(held.side + Math.max(x, y), naturalWidth - held.left, naturalHeight - held.top);
  } else Object.assign(square, { left: held.left + x, top: held.top + y });
  fitSquare();
  layOut();
});
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => {
  if (held) lookAgain();
  held = null;
});

// The browser would begin to drag the picture itself, and Gradio take that for a file that is dropped on it.
document.addEventListener("dragstart", (event) => event.target.closest?.("#example") && event.preventDefault());
document.addEventListener("mousedown", (event) => event.target.closest?.("#square") && event.preventDefault());

let pause = null;
document.addEventListener("keydown", (event) => {
  if (event.target.id !== "square" || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = square.side / 20, { key } = event;
  const moves = {
    ArrowLeft: [-step, 0, 0], ArrowRight: [step, 0, 0], ArrowUp: [0, -step, 0], ArrowDown: [0, step, 0],
    "+": [-step, -step, 2 * step], "=": [-step, -step, 2 * step], "-": [step, step, -2 * step],
  };
  if (!moves[key]) return;
  event.preventDefault();
  event.stopPropagation(); // elsewhere the arrow keys go back and forth
  const [x, y, more] = moves[key];
  Object.assign(square, { left: square.left + x, top: square.top + y, side: square.side + more });
  fitSquare();
  layOut();
  clearTimeout(pause);
  pause = setTimeout(lookAgain, 600);
}, true);

// Side by side: what was cut out of the picture, the found face, and what lies between them.
const found = new Image();
let cut = null; // of the picture, as it was searched for
const blend = () => {
  const section = document.querySelector("#likeness section");
  if (!section || !cut || !found.naturalWidth) return;
  const share = section.querySelector("input").value / 100;
  section.querySelectorAll("canvas").forEach((canvas, i) => {
    const pen = canvas.getContext("2d"), face = [0, share, 1][i];
    pen.globalAlpha = 1;
    pen.drawImage(cut, 0, 0, canvas.width, canvas.height);
    pen.globalAlpha = face;
    if (face) pen.drawImage(found, 0, 0, canvas.width, canvas.height);
  });
  section.hidden = false;
};
found.addEventListener("load", blend);
document.addEventListener("input", ({ target }) => target.closest?.("#likeness") && blend());

// What was found for a picture is shown, wherever one was on the page.
const showFound = (file) => {
  const image = uploaded();
  if (image?.naturalWidth) {
    const { naturalWidth: width, naturalHeight: height } = image, side = Math.min(width, height);
    const [x, y, size] = square.asked
      ? square.asked.split(",").map(Number) : [Math.floor((width - side) / 2), Math.floor((height - side) / 2), side];
    cut = Object.assign(document.createElement("canvas"), { width: 256, height: 256 });
    const pen = cut.getContext("2d");
    pen.fillStyle = "white"; // behind what is transparent, as the search has it
    pen.fillRect(0, 0, 256, 256);
    pen.drawImage(image, x, y, size, size, 0, 0, 256, 256);
    found.src = file.url;
  }
  document.getElementById(cut ? "likeness" : "explored")?.scrollIntoView({
    block: "center", behavior: calm.matches ? "auto" : "smooth",
  });
};
