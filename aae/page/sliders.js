// Long codes: one slider per axis, and the image decoded from them. Axes without a slider are at 0, or at their value
// in the last sample that was taken.
{
  const sliders = [...document.querySelectorAll("#axes input")];
  const outputs = [...document.querySelectorAll("#axes output")];
  const canvas = document.getElementById("decoded");
  const decoders = new Map();
  const samples = new Map(); // of each model's prior, in the order of the pictures of samples
  let code = new Float32Array(index.codeSize);
  let taken = -1;

  const chosen = () => document.querySelector("[name=decoder]:checked").value;

  const draw = () => {
    const run = chosen();
    if (!decoders.has(run)) decoders.set(run, loadDecoder(run));
    sliders.forEach((slider, axis) => {
      slider.value = code[axis];
      outputs[axis].textContent = inUnits(code[axis]);
    });
    drawPixels(canvas, decode(decoders.get(run), code));
    canvas.dataset.code = JSON.stringify([...code]);
  };

  const samplesOf = (model) => {
    if (!samples.has(model)) samples.set(model, new Float32Array(bytes(`codes-of-samples-${model}`).buffer));
    return samples.get(model);
  };

  if (sliders.length) { // absent if no decoder fits
    sliders.forEach((slider, axis) =>
      slider.addEventListener("input", () => {
        code[axis] = Number(slider.value);
        draw();
      }),
    );
    document.getElementById("next-sample").addEventListener("click", () => {
      taken = (taken + 1) % index.decoded.samples;
      const all = samplesOf(index.runs.find(({ name }) => name === chosen()).model);
      code = all.slice(taken * index.codeSize, (taken + 1) * index.codeSize);
      draw();
    });
    document.getElementById("origin").addEventListener("click", () => {
      code = new Float32Array(index.codeSize);
      draw();
    });
    for (const choice of document.getElementsByName("decoder")) choice.addEventListener("change", draw);
    draw();
  }
}
