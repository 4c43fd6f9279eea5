// Draws every figure[data-chart] from the JSON in it, by Observable Plot. Colours are CSS variables, so that dark
// and light pages and print need no second drawing.
"use strict";
{
  const MARGIN_BOTTOM = 40;
  const style = { fontSize: "12px", overflow: "visible" };
  const colour = (number) => `var(--series-${number})`;
  const plain = (value) => (Math.abs(value) >= 1e4 ? d3.format("~s")(value) : String(Number(value.toPrecision(6))));
  const format = (percent) => (percent ? "~%" : plain);
  // Of values that are all the same, which have no range of their own.
  const around = ([low, high], percent) => {
    if (low < high) return [low, high];
    return percent ? [0, 1] : [Math.min(0, 2 * low), Math.max(0, 2 * low) || 1];
  };
  const tip = { fill: "var(--raised)", stroke: "var(--border)", textPadding: 8, fontSize: 12, lineWidth: 24 };
  const percents = d3.format(".1%");

  const draw = {
    lines({ x, y, percent, lines, marks }, width) {
      const points = lines.flatMap(({ name, points }, n) => points.map(([a, b]) => ({ name, n, a, b })));
      const one = (value) => (percent ? percents(value) : plain(value));
      const epochs = d3.extent(points, (d) => d.a);
      const best = marks.filter((mark) => mark.text), others = marks.filter((mark) => !mark.text);
      return Plot.plot({
        width, height: Math.max(230, Math.min(300, width * 0.55)), style,
        marginLeft: 52, marginTop: 24, marginRight: 16, marginBottom: MARGIN_BOTTOM,
        x: { label: x, labelArrow: "none", ticks: d3.ticks(...epochs, Math.min(10, width / 60)).filter(Number.isInteger), tickFormat: "~s" },
        y: { label: y, labelArrow: "none", grid: true, nice: true, tickFormat: format(percent), ticks: 5,
          domain: around(d3.extent(points, (d) => d.b), percent) },
        marks: [
          Plot.ruleX(others, { x: "x", stroke: "var(--mark)", strokeDasharray: "2 4" }),
          Plot.ruleX(best, { x: "x", stroke: "var(--ink)" }),
          Plot.text(best, { x: "x", text: "text", frameAnchor: "top", dy: -14, fill: "var(--ink)" }),
          ...lines.map(({ points }, n) => Plot.line(points, {
            stroke: colour(n), strokeWidth: 2, strokeDasharray: n % 2 ? "6 3" : null,
          })),
          ...(points.length <= 12 * lines.length
            ? [Plot.dot(points, { x: "a", y: "b", r: 3, fill: (d) => colour(d.n) })] : []),
          Plot.ruleX(points, Plot.pointerX({ x: "a", stroke: "var(--mark)" })),
          Plot.tip(points, Plot.pointerX({
            x: "a", y: "b", title: (d) => `${x} ${d.a}\n${d.name}: ${one(d.b)}`, ...tip,
          })),
        ],
      });
    },
    histogram({ x, y, bars }, width) {
      const whole = d3.ticks(0, d3.max(bars, (d) => d[2]), 5).filter(Number.isInteger);
      return Plot.plot({
        width, height: Math.max(200, Math.min(260, width * 0.45)), style,
        marginLeft: 52, marginTop: 24, marginBottom: MARGIN_BOTTOM,
        x: { label: x, labelArrow: "none", domain: [0, 1], ticks: Math.min(10, width / 50) },
        y: { label: y, labelArrow: "none", grid: true, nice: true, tickFormat: "~s", ticks: whole },
        marks: [
          Plot.rectY(bars, {
            x1: (d) => d[0], x2: (d) => d[1], y: (d) => d[2], fill: colour(0), inset: 1,
            title: (d) => `${d[0].toFixed(1)} to ${d[1].toFixed(1)}\n${d[2].toLocaleString("en")} ${y}`, tip,
          }),
          Plot.ruleY([0], { stroke: "var(--border)" }),
        ],
      });
    },
    calibration({ bins }, width) {
      return Plot.plot({
        width, height: Math.min(380, width * 0.9), style,
        marginLeft: 52, marginTop: 24, marginRight: 16, marginBottom: MARGIN_BOTTOM,
        x: { label: "probability that the network gave", labelArrow: "none", domain: [0, 1], tickFormat: "~%", ticks: 5 },
        y: { label: "fraction that is right", labelArrow: "none", domain: [0, 1], grid: true, tickFormat: "~%", ticks: 5 },
        r: { range: [4, 12], domain: [0, d3.max(bins, (d) => d.rows)] },
        marks: [
          Plot.line([[0, 0], [1, 1]], { stroke: "var(--mark)", strokeDasharray: "4 4" }),
          Plot.ruleX(bins, { x: "probability", y1: "low", y2: "high", stroke: colour(0), strokeWidth: 2 }),
          Plot.line(bins, { x: "probability", y: "accuracy", stroke: colour(0), strokeWidth: 2 }),
          Plot.dot(bins, {
            x: "probability", y: "accuracy", r: "rows", fill: colour(0), tip,
            title: (d) => `${d.rows.toLocaleString("en")} images\nprobability ${percents(d.probability)}\n`
              + `right ${percents(d.accuracy)} (95 %: ${percents(d.low)} to ${percents(d.high)})`,
          }),
        ],
      });
    },
    ranking({ x, rows }, width) {
      const left = Math.min(220, width * 0.36);
      const low = d3.min(rows, (d) => d.low ?? d.value), high = d3.max(rows, (d) => d.high ?? d.value);
      return Plot.plot({
        width, height: 60 + rows.length * 30, style,
        marginLeft: left, marginTop: 10, marginRight: 56, marginBottom: MARGIN_BOTTOM,
        x: { label: x, labelArrow: "none", grid: true, nice: true, domain: [low, high], tickFormat: "~%", ticks: width / 110 },
        y: { label: null, domain: rows.map((d) => d.name) },
        marks: [
          Plot.axisY({ tickSize: 0, lineWidth: (left - 16) / 12, textOverflow: "ellipsis" }),
          Plot.ruleY(rows, { y: "name", x1: (d) => d.low ?? d.value, x2: (d) => d.high ?? d.value, stroke: colour(0), strokeWidth: 3, strokeOpacity: 0.45 }),
          Plot.dot(rows, { y: "name", x: "value", r: 5, fill: colour(0), title: "remark", tip }),
          Plot.text(rows, { y: "name", frameAnchor: "right", dx: 52, textAnchor: "end", text: (d) => percents(d.value) }),
        ],
      });
    },
    scatter({ x, y, points }, width) {
      return Plot.plot({
        width, height: Math.max(240, Math.min(320, width * 0.55)), style, inset: 16,
        marginLeft: 52, marginTop: 24, marginRight: 24, marginBottom: MARGIN_BOTTOM,
        x: { label: x, labelArrow: "none", grid: true, zero: true, nice: true, ticks: width / 80 },
        y: { label: y, labelArrow: "none", grid: true, nice: true, tickFormat: "~%", ticks: 5 },
        marks: [
          Plot.dot(points, { x: "x", y: "y", r: 6, fill: (d) => colour(d.number), title: "remark", tip }),
          Plot.text(points, { x: "x", y: "y", text: "name", dy: -13, lineAnchor: "bottom", lineWidth: 14, textOverflow: "ellipsis" }),
        ],
      });
    },
  };

  const show = (figure) => {
    const place = figure.querySelector(".plot"), width = Math.floor(place.clientWidth);
    if (!width || width === Number(place.dataset.width)) return;
    place.dataset.width = width;
    const values = JSON.parse(figure.querySelector("script").textContent);
    const svg = draw[figure.dataset.chart](values, width);
    // The place has the description; names of marks, on groups without a role, would only disturb it.
    svg.setAttribute("aria-hidden", "true");
    svg.querySelectorAll("[aria-label]").forEach((mark) => mark.removeAttribute("aria-label"));
    place.replaceChildren(svg);
  };
  const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => show(target)));
  document.querySelectorAll("figure[data-chart]").forEach((figure) => observer.observe(figure));
}
