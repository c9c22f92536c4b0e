// A line at the epoch under the pointer, the same in all charts, and each curve's value there.
{
  const charts = [...document.querySelectorAll(".chart")].map((figure) => ({
    figure,
    svg: figure.querySelector("svg"),
    cursor: figure.querySelector(".cursor"),
    outputs: [...figure.querySelectorAll("output")],
    last: Number(figure.dataset.last),
    series: JSON.parse(figure.querySelector("script").textContent), // of each series, line and point: [epoch, value]
  }));
  const { left, right } = document.querySelector(".charts").dataset; // of the plot, in the SVG's units
  let shown = null;

  const valueAt = (line, epoch) =>
    line.reduce((a, b) => (Math.abs(b[0] - epoch) < Math.abs(a[0] - epoch) ? b : a))[1];

  const show = (epoch) => {
    shown = epoch;
    for (const { cursor, outputs, last, series } of charts) {
      cursor.setAttribute("visibility", epoch === null ? "hidden" : "visible");
      cursor.setAttribute("transform", `translate(${((right - left) * (epoch ?? 0)) / last} 0)`);
      series.forEach((lines, i) => {
        const mean = lines.reduce((sum, line) => sum + valueAt(line, epoch ?? 0), 0) / lines.length;
        outputs[i].textContent = epoch === null ? "" : `${Number(mean.toPrecision(3))} at ${epoch}`;
      });
    }
  };

  for (const { svg, last } of charts) {
    const inside = (epoch) => Math.min(last, Math.max(0, Math.round(epoch)));
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      show(inside((last * (x - left)) / (right - left)));
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", () => show(null));
    svg.addEventListener("blur", () => show(null));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(inside((shown ?? last) + step));
    });
  }
}
