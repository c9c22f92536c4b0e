// The pictures of the last epoch at the top, and those that the slider, the legend and the choice of a seed drive.
{
  const slider = document.getElementById("epoch");
  const play = document.getElementById("play");
  const seed = document.getElementById("seed");
  const all = document.getElementById("all-labels"); // null for data without labels
  const buttons = [...document.querySelectorAll(".label")];
  const seeds = [...new Set(index.runs.map((run) => run.seed))];
  let timer = null;

  const show = (prefix, run, model, epoch) => {
    drawScatter(document.getElementById(`${prefix}-scatter-${model}`), codesAt(run, epoch), model);
    const picture = document.getElementById(`${prefix}-manifold-${model}`);
    const manifold = manifoldAt(run, epoch);
    if (picture.src !== manifold.source) picture.src = manifold.source;
    picture.dataset.epoch = manifold.epoch;
  };

  const drawEpoch = () => {
    const epoch = Number(slider.value);
    for (const model of models) show("epoch", runOf(model, seeds[seed?.selectedIndex ?? 0]), model, epoch);
    const text = `epoch ${epoch}`;
    document.getElementById("epoch-text").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };

  const drawAll = () => {
    for (const model of models) show("final", runOf(model, seeds[0]), model, index.lastEpoch);
    drawEpoch();
  };

  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };

  slider.addEventListener("input", drawEpoch);
  slider.addEventListener("pointerdown", stop);
  seed?.addEventListener("change", drawEpoch);
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === index.lastEpoch) slider.value = 0;
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      drawEpoch();
      if (Number(slider.value) === index.lastEpoch) stop();
    }, Math.min(400, Math.max(16, 8000 / index.lastEpoch))); // ms
  });

  const hide = (label, away) => {
    if (away) hidden.add(label);
    else hidden.delete(label);
    buttons[label].setAttribute("aria-pressed", String(!away));
  };
  const labelsChanged = () => {
    all.textContent = hidden.size ? "All" : "None";
    document.dispatchEvent(new Event("labelschange"));
  };
  buttons.forEach((button, label) =>
    button.addEventListener("click", () => {
      hide(label, !hidden.has(label));
      labelsChanged();
    }),
  );
  all?.addEventListener("click", () => {
    const away = hidden.size === 0;
    buttons.forEach((_, label) => hide(label, away));
    labelsChanged();
  });

  const recolour = () => buttons.forEach((button, label) => button.style.setProperty("--colour", colours()[label]));
  document.addEventListener("themechange", () => {
    recolour();
    drawAll();
  });
  document.addEventListener("labelschange", drawAll);
  new ResizeObserver(drawAll).observe(document.querySelector(".models"));
  recolour();
  drawAll();
}
