// Shows a line in all charts at the epoch under the pointer, and each curve's value there. A chart that has no value at
// that epoch shows the nearest value and its epoch. The value is the mean over the seeds or, for a band, the median with
// the band's edges.
{
  const charts = [...document.querySelectorAll(".chart")].map((figure) => ({
    figure,
    svg: figure.querySelector("svg"),
    cursor: figure.querySelector(".cursor"),
    outputs: [...figure.querySelectorAll("output")],
    last: Number(figure.dataset.last),
    // series -> line -> point: [epoch, value]; the lines of a band are the median and the edges
    series: JSON.parse(figure.querySelector("script").textContent),
    banded: "banded" in figure.dataset,
  }));
  const { left, right } = document.querySelector(".charts").dataset; // edges of the plot, in the SVG's units
  let shown = null;

  const nearest = (line, epoch) => line.reduce((a, b) => (Math.abs(b[0] - epoch) < Math.abs(a[0] - epoch) ? b : a));

  const short = (value) => Number(value.toPrecision(3));

  const show = (epoch) => {
    shown = epoch;
    for (const { cursor, outputs, last, series, banded } of charts) {
      const [place] = nearest(series[0][0], epoch ?? 0);
      cursor.setAttribute("visibility", epoch === null ? "hidden" : "visible");
      cursor.setAttribute("transform", `translate(${((right - left) * place) / last} 0)`);
      series.forEach((lines, i) => {
        const points = lines.map((line) => nearest(line, epoch ?? 0));
        const values = points.map(([, value]) => value);
        const mean = values.reduce((sum, value) => sum + value) / values.length;
        const [middle, low, high] = values.map(short);
        const text = banded ? `${middle} (${low} to ${high})` : short(mean);
        outputs[i].textContent = epoch === null ? "" : `${text} at epoch ${points[0][0]}`;
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
