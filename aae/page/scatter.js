// Draws codes on a square canvas that spans [-limit, limit] on both axes.

const hidden = new Set(); // labels that the scatter plots hide

// Prepares a canvas for the screen's pixels; returns its context in CSS pixels and its side.
function square(canvas) {
  const side = canvas.clientWidth;
  const scale = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * scale);
  const context = canvas.getContext("2d");
  context.scale(canvas.width / side, canvas.height / side);
  return [context, side];
}

function drawScatter(canvas, codes, outline) {
  const [context, side] = square(canvas);
  if (side === 0) return;
  const style = getComputedStyle(document.documentElement);
  const [ink, faint, panel] = ["--ink", "--faint", "--panel"].map((name) => style.getPropertyValue(name));
  const place = (x) => ((x / index.limit + 1) / 2) * side; // downwards: place(-y)
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";

  const write = (text, x, y, colour) => {
    context.strokeStyle = panel;
    context.lineWidth = 3;
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  };

  const radius = Math.min(2, Math.max(1.1, side / 300));
  const palette = colours();
  context.globalAlpha = 0.8;
  for (let i = 0; i < labels.length; i++) {
    if (hidden.has(labels[i]) || Number.isNaN(codes[2 * i])) continue;
    context.fillStyle = palette[labels[i]];
    context.beginPath();
    context.arc(place(codes[2 * i]), place(-codes[2 * i + 1]), radius, 0, 7);
    context.fill();
  }

  context.globalAlpha = 0.5;
  context.strokeStyle = ink;
  context.lineWidth = 1;
  for (const { points } of outline) {
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(place(x), place(-y)));
    context.stroke();
  }
  context.globalAlpha = 1;
  context.textAlign = "center";
  for (const { label, points } of outline) {
    const top = points.reduce((a, b) => (b[1] > a[1] ? b : a));
    if (label) write(label, place(top[0]), place(-top[1]), ink);
  }

  // Numbers along the left and the lower edge, so few that they do not touch, and none in the corners. If codes are in
  // strips, the labels are on the left.
  const step = roundStep(index.limit / (side / 80));
  for (let k = -Math.ceil(index.limit / step) + 1; k * step < index.limit; k++) {
    if (place(-Math.abs(k * step)) < 16) continue; // pixels
    const text = String(Number((k * step).toPrecision(6))).replace("-", "−");
    context.textAlign = "center";
    write(text, place(k * step), side - 9, faint);
    context.textAlign = "left";
    if (index.codeSize > 1) write(text, 5, place(-k * step), faint);
  }
  if (index.codeSize === 1 && index.classNames.length > 0) {
    const strip = side / index.classNames.length;
    const every = Math.ceil(14 / strip); // 14 pixels per line of text
    index.classNames.forEach((name, i) => i % every || write(name, 5, (i + 0.5) * strip, ink));
  }
}

// The smallest number of the form 1, 2 or 5 times a power of ten that is at least x.
function roundStep(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].find((digit) => digit * power >= x * (1 - 1e-9)) * power;
}
