// The trained decoder: linear layers with ReLU between them and a sigmoid at the end.

// Unpacks a run's layers {inputs, outputs, weights [outputs * inputs], biases} from aae/page_data.py.
function loadDecoder(run) {
  const buffer = bytes(`decoder-${run}`).buffer;
  let at = 0;
  const take = (Type, n) => {
    const part = new Type(buffer.slice(at, at + n * Type.BYTES_PER_ELEMENT));
    at += part.byteLength;
    return part;
  };
  return index.decoders[run].map(([inputs, outputs]) => {
    const biases = take(Float32Array, outputs);
    const scales = take(Float32Array, outputs);
    const weights = Float32Array.from(take(Int16Array, outputs * inputs), (w, i) => w * scales[Math.floor(i / inputs)]);
    return { inputs, outputs, weights, biases };
  });
}

// Pixels in [0, 1] of the image at `code`.
function decode(layers, code) {
  let values = Float32Array.from(code);
  layers.forEach(({ inputs, outputs, weights, biases }, layer) => {
    const next = new Float32Array(outputs);
    for (let i = 0; i < outputs; i++) {
      let sum = biases[i];
      for (let j = 0, w = i * inputs; j < inputs; j++) sum += weights[w + j] * values[j];
      next[i] = layer < layers.length - 1 ? Math.max(sum, 0) : 1 / (1 + Math.exp(-sum));
    }
    values = next;
  });
  return values;
}

// Draws pixels in [0, 1], grey or colour, on a canvas of the images' size.
function drawPixels(canvas, pixels) {
  [canvas.height, canvas.width] = index.pictureShape;
  const image = new ImageData(canvas.width, canvas.height);
  const n = canvas.width * canvas.height;
  const channels = pixels.length / n;
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round(255 * pixels[channels * i + (c % channels)]);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
