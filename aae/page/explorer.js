// The plane of one- or two-dimensional codes: decodes the point under the pointer and shows the nearest test images
// beside it.
{
  const NEAREST = 5;
  const plane = document.getElementById("plane");
  const decoders = new Map();
  const [height, width] = index.pictureShape;
  let run = null;
  let codes = null;
  const isLine = index.codeSize === 1;
  let point = isLine ? [0] : [0, 0];

  const pictures = new Image(); // all test images on one sheet
  pictures.src = `data:image/png;base64,${base64("pictures")}`;

  // [image, distance] of the nearest images with a picture, nearest first.
  const nearestTo = ([x, y]) => {
    const distances = [];
    for (let i = 0; i < index.pictured; i++) {
      const distance = Math.hypot(codes[2 * i] - x, isLine ? 0 : codes[2 * i + 1] - y);
      if (!Number.isNaN(distance) && !hidden.has(labels[i])) distances.push([i, distance]);
    }
    return distances.sort((a, b) => a[1] - b[1]).slice(0, NEAREST);
  };

  const showNearest = () => {
    const figures = nearestTo(point).map(([image, distance]) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      if (!index.colour) canvas.className = "ink";
      canvas.width = width;
      canvas.height = height;
      canvas.setAttribute("role", "img");
      const name = index.classNames[labels[image]]; // undefined for data without labels
      canvas.setAttribute("aria-label", name === undefined ? "test image" : `test image of label ${name}`);
      const [column, row] = [image % index.pictureColumns, Math.floor(image / index.pictureColumns)];
      canvas.getContext("2d").drawImage(pictures, column * width, row * height, width, height, 0, 0, width, height);
      const caption = document.createElement("figcaption");
      if (name !== undefined) {
        const label = document.createElement("b");
        label.textContent = name;
        caption.append(label, document.createElement("br"));
      }
      caption.append(inUnits(distance));
      figure.append(canvas, caption);
      return figure;
    });
    document.getElementById("nearest").replaceChildren(...figures);
  };

  const moveTo = (...codeUnits) => {
    point = codeUnits.slice(0, index.codeSize).map((v) => Math.min(index.limit, Math.max(-index.limit, v)));
    const cross = document.getElementById("cross");
    cross.style.left = `${(point[0] / index.limit + 1) * 50}%`;
    if (!isLine) cross.style.top = `${(1 - point[1] / index.limit) * 50}%`;
    const text = point.map(inUnits).join(", ");
    document.getElementById("point").textContent = isLine ? `z = ${text}` : `z = (${text})`;
    plane.dataset.point = JSON.stringify(point);
    drawPixels(document.getElementById("decoded"), decode(decoders.get(run), point));
    showNearest();
  };

  const draw = () => {
    if (run === null) return; // the pictures are not loaded yet
    drawScatter(plane.querySelector("canvas"), codes, outlineOf(index.runs.find(({ name }) => name === run), 0));
  };

  const choose = (name) => {
    run = name;
    codes = codesAt(run, index.lastEpoch);
    if (!decoders.has(run)) decoders.set(run, loadDecoder(run));
    draw();
    moveTo(...point);
  };

  if (plane) { // absent if the decoders do not fit
    const follow = (event) => {
      const box = plane.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width;
      const y = (event.clientY - box.top) / box.height;
      moveTo((2 * x - 1) * index.limit, (1 - 2 * y) * index.limit);
    };
    plane.addEventListener("pointermove", follow);
    plane.addEventListener("pointerdown", follow);
    plane.addEventListener("keydown", (event) => {
      const step = index.limit * (event.shiftKey ? 0.125 : 0.025);
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      const move = event.key === "Home" ? point.map((v) => -v) : moves[event.key];
      if (!move) return;
      event.preventDefault();
      moveTo(...point.map((v, axis) => v + move[axis]));
    });
    for (const choice of document.getElementsByName("decoder")) {
      choice.addEventListener("change", () => choose(choice.value));
    }
    document.addEventListener("themechange", draw);
    document.addEventListener("labelschange", () => {
      draw();
      if (run !== null) showNearest();
    });
    new ResizeObserver(draw).observe(plane);
    pictures.decode().then(() => choose(document.querySelector("[name=decoder]:checked").value));
  }
}
