// What aae/page_data.py packed.

const index = JSON.parse(document.getElementById("index").textContent);

const base64 = (name) => document.getElementById(name).textContent;

function bytes(name) {
  const text = atob(base64(name));
  const array = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
  return array;
}

const labels = bytes("labels"); // of each image

const packedCodes = new Map();

// Codes [images * 2] of a run at an epoch, NaN where they lie outside of the plot.
function codesAt(run, epoch) {
  if (!packedCodes.has(run)) packedCodes.set(run, bytes(`codes-${run}`));
  const n = 2 * index.images;
  const packed = packedCodes.get(run).subarray(epoch * n, (epoch + 1) * n);
  const codes = new Float32Array(n);
  const steps = [0.7548776662466927, 0.5698402909980532];
  for (let i = 0; i < n; i++) {
    const dither = (((i >> 1) + 1) * steps[i & 1]) % 1;
    codes[i] = packed[i] === 0 ? NaN : ((packed[i] - 0.5 - dither) / 127 - 1) * index.limit;
  }
  return codes;
}

// The picture of the decoder of a run at the snapshot nearest to an epoch.
function manifoldAt(run, epoch) {
  const near = index.snapshots.reduce((a, b) => (Math.abs(b - epoch) < Math.abs(a - epoch) ? b : a));
  return { epoch: near, source: `data:image/webp;base64,${base64(`manifold-${run}-${near}`)}` };
}

const runOf = (model, seed) => index.runs.find((run) => run.model === model && run.seed === seed).name;
const models = [...new Set(index.runs.map((run) => run.model))];
const colours = () => index.colours[document.documentElement.dataset.theme];
