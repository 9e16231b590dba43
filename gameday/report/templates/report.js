// Reads a value off a chart under the pointer or, with the arrow keys, at the focus. The page says all of it without this, too.
"use strict";
const SIDE = 10000;
const NBSP = "\u00a0";
const number = (value) => (value === 0 ? "0" : Math.abs(value) >= 1000 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString()).replace("-", "\u2212");
const units = {
  s: (value) => (Math.abs(value) < 1 ? number(value * 1000) + NBSP + "ms" : number(value) + NBSP + "s"),
  ratio: (value) => number(value * 100) + NBSP + "%",
  "/s": (value) => number(value) + NBSP + "/s",
  B: (value) => {
    let power = 0;
    for (; Math.abs(value) >= 1024 && power < 5; power++) value /= 1024;
    return number(value) + NBSP + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][power];
  },
  number,
};
// The path's own points: M and l with whole numbers, relative to the one before.
const pointsOf = (path) => {
  const points = [];
  let x = 0, y = 0;
  for (const [, command, dx, dy] of path.getAttribute("d").matchAll(/([Ml])(-?\d+) ?(-?\d+)/g)) {
    x = command === "M" ? Number(dx) : x + Number(dx);
    y = command === "M" ? Number(dy) : y + Number(dy);
    points.push([x, y]);
  }
  return points;
};
for (const group of document.querySelectorAll(".charts")) {
  const [from, to, zero] = ["from", "to", "zero"].map((name) => Number(group.dataset[name]));
  const charts = [...group.querySelectorAll(".canvas[data-low]")].map((canvas) => ({
    canvas,
    points: pointsOf(canvas.querySelector(".line")),
    low: Number(canvas.dataset.low),
    high: Number(canvas.dataset.high),
    show: units[canvas.dataset.unit] ?? number,
    cursor: canvas.querySelector(".cursor"),
    dot: canvas.querySelector(".dot"),
    output: canvas.closest("figure").querySelector("output"),
  }));
  const nearest = (points, x) => points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
  const moment = (x) => {
    const seconds = from + (x / SIDE) * (to - from) - zero;
    return (seconds < 0 ? "\u2212" : "+") + Math.abs(seconds).toFixed(to - from < 600 ? 1 : 0) + NBSP + "s: ";
  };
  const read = (x) => {
    for (const chart of charts) {
      chart.canvas.classList.add("on");
      chart.cursor.setAttribute("x1", x / 100 + "%");
      chart.cursor.setAttribute("x2", x / 100 + "%");
      const point = chart.points.length ? nearest(chart.points, x) : null;
      // Where there is no reading nearby there is nothing to read off.
      const seen = point !== null && Math.abs(point[0] - x) < SIDE / 40;
      chart.dot.classList.toggle("seen", seen);
      if (seen) {
        chart.dot.setAttribute("cx", point[0] / 100 + "%");
        chart.dot.setAttribute("cy", point[1] / 100 + "%");
      }
      chart.output.textContent = seen
        ? moment(point[0]) + chart.show(chart.high - (point[1] / SIDE) * (chart.high - chart.low))
        : moment(x) + "no reading";
    }
  };
  const clear = () => charts.forEach((chart) => { chart.canvas.classList.remove("on"); chart.output.textContent = ""; });
  for (const { canvas, points } of charts) {
    let x = points.length ? points[0][0] : 0;
    canvas.setAttribute("tabindex", "0");
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      read((x = Math.min(SIDE, Math.max(0, ((event.clientX - box.left) / box.width) * SIDE))));
    });
    canvas.addEventListener("pointerleave", clear);
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && read(x));
    canvas.addEventListener("blur", clear);
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const beyond = points.filter((point) => (step > 0 ? point[0] > x : point[0] < x));
      if (beyond.length) read((x = step > 0 ? beyond[0][0] : beyond[beyond.length - 1][0]));
    });
  }
}
// Paper cannot be clicked on.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
