// Codes on a square canvas that spans [-limit, limit] on both axes.

const hidden = new Set(); // labels that no scatter shows

// Prepares a canvas for the screen's pixels; returns its context in CSS pixels and its side.
function square(canvas) {
  const side = canvas.clientWidth;
  const scale = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * scale);
  const context = canvas.getContext("2d");
  context.scale(canvas.width / side, canvas.height / side);
  return [context, side];
}

function drawScatter(canvas, codes, model) {
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
  for (const { points } of index.priors[model]) {
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(place(x), place(-y)));
    context.stroke();
  }
  context.globalAlpha = 1;
  context.textAlign = "center";
  for (const { label, points } of index.priors[model]) {
    const top = points.reduce((a, b) => (b[1] > a[1] ? b : a));
    if (label) write(label, place(top[0]), place(-top[1]), ink);
  }

  // Numbers along the left and the lower edge, not so many that they touch, without those in the corners.
  const step = [0.5, 1, 2, 5, 10, 20, 50, 100, 1000].find((s) => (index.limit / s) * 2 < side / 40) ?? index.limit;
  for (let x = -Math.ceil(index.limit / step) * step + step; x < index.limit; x += step) {
    const text = String(Number(x.toFixed(6))).replace("-", "−");
    context.textAlign = "center";
    write(text, place(x), side - 9, faint);
    context.textAlign = "left";
    write(text, 5, place(-x), faint);
  }
}
