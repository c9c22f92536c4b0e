// The pictures of the last epoch at the top, and those that the slider, the legend and the choice of seed control.
{
  const slider = document.getElementById("epoch"); // its value is a place in index.epochs
  const play = document.getElementById("play");
  const seed = document.getElementById("seed");
  const buttons = [...document.querySelectorAll(".label")]; // of both legends
  const everything = [...document.querySelectorAll(".all-labels")];
  const planes = [...document.querySelectorAll(".plane-choice")]; // for long codes: two menus with the same choice
  const seeds = [...new Set(index.runs.map((run) => run.seed))];
  let timer = null;

  const show = (prefix, run, epoch) => {
    const chosen = planes[0]?.selectedIndex ?? 0;
    const canvas = document.getElementById(`${prefix}-scatter-${run.model}`);
    drawScatter(canvas, codesAt(run.name, epoch, chosen), outlineOf(run, chosen));
    for (const kind of Object.keys(index.decoded)) {
      const picture = document.getElementById(`${prefix}-${kind}-${run.model}`);
      const decoded = decodedAt(kind, run.name, epoch);
      if (picture.src !== decoded.source) picture.src = decoded.source;
      picture.dataset.epoch = decoded.epoch;
      picture.closest("figure").querySelector(".snapshot").textContent = `epoch ${decoded.epoch}`;
    }
  };

  const drawEpoch = () => {
    const epoch = index.epochs[slider.value];
    for (const model of models) show("epoch", runOf(model, seeds[seed?.selectedIndex ?? 0]), epoch);
    const text = `epoch ${epoch}`;
    document.getElementById("epoch-text").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };

  const drawAll = () => {
    for (const model of models) show("final", runOf(model, seeds[0]), index.lastEpoch);
    for (const name of document.querySelectorAll(".plane-name")) {
      name.textContent = index.planes[planes[0]?.selectedIndex ?? 0].name;
    }
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
  for (const choice of planes) {
    choice.addEventListener("change", () => {
      for (const other of planes) other.selectedIndex = choice.selectedIndex;
      drawAll();
    });
  }
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      drawEpoch();
      if (slider.value === slider.max) stop();
    }, Math.min(400, Math.max(16, 8000 / slider.max))); // ms
  });

  const hide = (label, away) => {
    if (away) hidden.add(label);
    else hidden.delete(label);
  };
  const labelsChanged = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.label))));
    for (const button of everything) button.textContent = hidden.size ? "Show all" : "Hide all";
    document.dispatchEvent(new Event("labelschange"));
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const label = Number(button.dataset.label);
      hide(label, !hidden.has(label));
      labelsChanged();
    });
  }
  for (const button of everything) {
    button.addEventListener("click", () => {
      const away = hidden.size === 0;
      index.classNames.forEach((_, label) => hide(label, away));
      labelsChanged();
    });
  }

  const recolour = () => {
    for (const button of buttons) button.style.setProperty("--colour", colours()[button.dataset.label]);
  };
  document.addEventListener("themechange", () => {
    recolour();
    drawAll();
  });
  document.addEventListener("labelschange", drawAll);
  new ResizeObserver(drawAll).observe(document.querySelector(".models"));
  recolour();
  drawAll();
}
