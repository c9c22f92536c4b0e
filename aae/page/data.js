// Unpacks the data from aae/page_data.py.

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

// Codes [images * 2] of a run at one of index.epochs, in a plane of index.planes; NaN if they are outside the plot.
// One-dimensional codes are in one strip per label, from the top down.
function codesAt(run, epoch, plane = 0) {
  if (!packedCodes.has(run)) packedCodes.set(run, bytes(`codes-${run}`));
  const { images, coordinates, dither, limit, classNames } = index;
  const frame = index.epochs.indexOf(epoch);
  const packed = packedCodes.get(run).subarray(frame * images * coordinates, (frame + 1) * images * coordinates);
  const [across, up] = index.planes[plane].axes;
  const unpacked = (i, axis) => {
    const cell = packed[i * coordinates + axis];
    return cell === 0 ? NaN : ((cell - 0.5 - (((i + 1) * dither[axis]) % 1)) / 127 - 1) * limit;
  };
  const inStrip = (i) => {
    const offset = 0.1 + 0.8 * ((((i + 1) * (Math.sqrt(5) - 1)) / 2) % 1);
    return (1 - (2 * (labels[i] + offset)) / Math.max(1, classNames.length)) * limit; // one strip without labels
  };
  const codes = new Float32Array(2 * images);
  for (let i = 0; i < images; i++) {
    const x = unpacked(i, across);
    const y = up === undefined ? inStrip(i) : unpacked(i, up);
    codes[2 * i] = Number.isNaN(y) ? NaN : x;
    codes[2 * i + 1] = Number.isNaN(x) ? NaN : y;
  }
  return codes;
}

// Lines {label, points} that outline the prior of a run's model in a plane.
function outlineOf({ name, model }, plane) {
  const components = plane === 0 && index.codeSize > 2;
  return (components && index.componentOutlines[name]) || index.priors[model];
}

// A run's decoder picture at the snapshot nearest to an epoch.
function decodedAt(kind, run, epoch) {
  const near = index.snapshots.reduce((a, b) => (Math.abs(b - epoch) < Math.abs(a - epoch) ? b : a));
  return { epoch: near, source: `data:image/webp;base64,${base64(`${kind}-${run}-${near}`)}` };
}

// A number in units of the code, with the digits that the plot can show and a true minus sign.
const inUnits = (x) => x.toFixed(Math.max(0, 2 - Math.floor(Math.log10(index.limit)))).replace("-", "−");

const runOf = (model, seed) => index.runs.find((run) => run.model === model && run.seed === seed);
const models = [...new Set(index.runs.map((run) => run.model))];
const colours = () => index.colours[document.documentElement.dataset.theme];
