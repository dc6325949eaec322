// A pointer over a plot reads the nearest value of every line. Text goes in as text, never as markup.
"use strict";
for (const figure of document.querySelectorAll("figure.plot")) {
  const lines = JSON.parse(figure.querySelector("script").textContent);
  const area = figure.querySelector(".area");
  const classes = [...figure.querySelectorAll(".legend i")].map((mark) => mark.className);
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };
  const ruler = element("div", "ruler", "");
  const reading = element("div", "reading", "");
  const leave = () => { ruler.remove(); reading.remove(); };
  const nearest = (points, x) =>
    points.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best), points[0]);
  const read = (event) => {
    const box = area.getBoundingClientRect();
    const x = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const read = lines.map((line, nth) => ({ line, nth, point: nearest(line.points, x) })).filter((it) => it.point);
    if (read.length === 0) return;
    const first = read.reduce((best, it) => (Math.abs(it.point.x - x) < Math.abs(best.point.x - x) ? it : best));
    reading.replaceChildren(element("p", "", first.point.at), ...read.map((it) => {
      const row = element("p", "", "");
      row.append(element("i", classes[it.nth], ""), it.line.name + " " + it.point.value);
      return row;
    }));
    ruler.style.left = first.point.x * 100 + "%";
    area.append(ruler, reading);
    const right = first.point.x > 0.5;
    reading.style.left = right ? "auto" : "calc(" + first.point.x * 100 + "% + .6rem)";
    reading.style.right = right ? "calc(" + (1 - first.point.x) * 100 + "% + .6rem)" : "auto";
  };
  area.addEventListener("pointermove", read);
  area.addEventListener("pointerdown", read);
  area.addEventListener("pointerleave", leave);
}
