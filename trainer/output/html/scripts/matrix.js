// Draws every [data-confusion] on a canvas, with the names around it. Zooming is d3's: pinch, drag, Ctrl and the
// wheel, buttons and keys. The canvas has half-transparent colours that fit light and dark pages.
"use strict";
{
  const LABEL = 13, MAX_SIDE = 720, MAX_CELL = 56, DIGIT = 7;
  const SLOPE = Math.PI / 3;  // of the names above the columns
  const RIGHT = [37, 99, 235], WRONG = [200, 66, 10];
  const integer = (value) => value.toLocaleString("en");
  const between = (low, value, high) => Math.max(low, Math.min(high, value));

  class Matrix {
    constructor(root) {
      const { names, cells, orders } = JSON.parse(root.querySelector("script").textContent);
      Object.assign(this, { root, names, orders, order: orders[0][1], transform: d3.zoomIdentity, cursor: null });
      this.field = root.querySelector(".field");
      this.canvas = root.querySelector("canvas");
      this.svg = d3.select(root.querySelector("svg"));
      this.tip = root.querySelector(".tip");
      this.totals = names.map(() => 0);
      this.counts = new Map();
      for (const [row, column, count] of cells) {
        this.totals[row] += count;
        this.counts.set(row * names.length + column, count);
      }
      this.cells = cells.map(([row, column, count]) => ({ row, column, count, part: count / this.totals[row] }));
      root.querySelectorAll("[hidden]").forEach((element) => { element.hidden = element === this.tip; });
      root.querySelector(".fallback")?.remove();
      this.listen();
      new ResizeObserver(() => this.resize()).observe(root);
    }

    listen() {
      this.zoom = d3.zoom()
        .scaleExtent([1, Math.max(1, this.names.length / 5)])
        .filter((event) => !event.button && (event.type !== "wheel" || event.ctrlKey)
          && (event.type !== "touchstart" || event.touches.length > 1 || this.transform.k > 1))
        .on("zoom", ({ transform }) => { this.transform = transform; this.draw(); });
      d3.select(this.canvas).call(this.zoom).on("dblclick.zoom", null);
      this.canvas.addEventListener("pointermove", (event) => this.point(event));
      this.canvas.addEventListener("pointerdown", (event) => this.point(event));
      this.canvas.addEventListener("pointerleave", () => this.select(null));
      this.field.addEventListener("keydown", (event) => this.key(event));
      this.field.addEventListener("blur", () => this.select(null));
      this.root.querySelector("select").addEventListener("change", ({ target }) => {
        this.order = this.orders[Number(target.value)][1];
        this.select(null);
      });
      for (const button of this.root.querySelectorAll("[data-zoom]")) {
        button.addEventListener("click", () => this.zoomBy(Number(button.dataset.zoom)));
      }
    }

    resize() {
      const width = this.root.clientWidth;
      if (!width || width === this.width) return;
      this.width = width;
      const longest = d3.max(this.names, (name) => this.measure(name));
      const room = Math.min(longest + 2, width * 0.27, 180);
      this.left = Math.ceil(room + 8);
      this.top = Math.ceil(room * Math.sin(SLOPE) + 14);
      this.beyond = Math.ceil(room * Math.cos(SLOPE));
      this.side = Math.floor(Math.min(MAX_SIDE, MAX_CELL * this.names.length, width - this.left - this.beyond - 2));
      this.short = this.names.map((name) => this.cut(name, room));
      this.field.style.height = `${this.top + this.side + 2}px`;
      Object.assign(this.canvas.style, { left: `${this.left}px`, top: `${this.top}px`, width: `${this.side}px`, height: `${this.side}px` });
      this.scale = Math.max(2, window.devicePixelRatio);
      this.canvas.width = this.canvas.height = this.side * this.scale;
      this.svg.attr("width", this.left + this.side + this.beyond).attr("height", this.top + this.side + 2);
      this.zoom.extent([[0, 0], [this.side, this.side]]).translateExtent([[0, 0], [this.side, this.side]]);
      this.draw();
    }

    measure(text) {
      const context = this.canvas.getContext("2d");
      context.font = getComputedStyle(this.svg.node()).font;
      return context.measureText(text).width;
    }

    cut(name, room) {
      let length = name.length;
      if (this.measure(name) <= room) return name;
      while (length > 1 && this.measure(`${name.slice(0, length)}…`) > room) length -= 1;
      return `${name.slice(0, length)}…`;
    }

    get cell() { return this.side / this.names.length * this.transform.k; }

    zoomBy(factor) {
      const canvas = d3.select(this.canvas);
      if (!factor) canvas.call(this.zoom.transform, d3.zoomIdentity);
      else canvas.call(this.zoom.scaleBy, factor, this.cursor ? this.center(this.cursor) : undefined);
    }

    center([row, column]) {
      return [(column + 0.5) * this.cell + this.transform.x, (row + 0.5) * this.cell + this.transform.y];
    }

    point(event) {
      const [x, y] = d3.pointer(event, this.canvas);
      const limit = this.names.length - 1;
      this.select([Math.floor((y - this.transform.y) / this.cell), Math.floor((x - this.transform.x) / this.cell)]
        .map((value) => between(0, value, limit)));
    }

    key(event) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const factor = { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key];
      if (event.target !== this.field || event.ctrlKey || event.metaKey || (!step && factor === undefined)) return;
      event.preventDefault();
      if (!step) { this.zoomBy(factor); return; }
      const limit = this.names.length - 1;
      this.select(this.cursor ? this.cursor.map((value, axis) => between(0, value + step[axis], limit)) : [0, 0]);
      const [x, y] = this.center(this.cursor);
      if (Math.min(x, y) < 0 || Math.max(x, y) > this.side) {
        const at = this.cursor.map((value) => (value + 0.5) * this.side / this.names.length);
        d3.select(this.canvas).call(this.zoom.translateTo, at[1], at[0]);
      }
    }

    select(cursor) {
      this.cursor = cursor;
      this.draw();
      this.tip.hidden = !cursor;
      if (!cursor) return;
      const [row, column] = cursor.map((place) => this.order[place]);
      const count = this.counts.get(row * this.names.length + column) ?? 0, total = this.totals[row];
      const part = total ? ` (${(100 * count / total).toFixed(1)} %)` : "";
      const isolated = (name) => `\u2068${name}\u2069`;
      this.tip.textContent = row === column
        ? `${isolated(this.names[row])}: ${integer(count)} of ${integer(total)} right${part}`
        : `${isolated(this.names[row])} predicted as ${isolated(this.names[column])}: ${integer(count)} of ${integer(total)}${part}`;
      const [x, y] = this.center(cursor);
      const left = between(0, this.left + x - this.tip.offsetWidth / 2, this.width - this.tip.offsetWidth);
      const above = this.top + y - this.cell / 2 - this.tip.offsetHeight - 6;
      this.tip.style.left = `${left}px`;
      this.tip.style.top = `${above > 0 ? above : this.top + y + this.cell / 2 + 6}px`;
    }

    draw() {
      const { cell, side, transform: { x, y } } = this, context = this.canvas.getContext("2d");
      const places = new Array(this.order.length);
      this.order.forEach((name, place) => { places[name] = place; });
      const gap = cell > 6 ? 1 : 0, faintest = cell > 12 ? 0.12 : cell > 4 ? 0.4 : 0.65, drawn = Math.max(1.4, cell - gap), numbers = [];
      this.canvas.style.touchAction = this.transform.k > 1 ? "none" : "pan-y";
      context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
      context.clearRect(0, 0, side, side);
      for (const one of this.cells) {
        const left = places[one.column] * cell + x, top = places[one.row] * cell + y;
        if (left > side || top > side || left + cell < 0 || top + cell < 0) continue;
        const right = one.row === one.column;
        const alpha = right ? 0.15 + 0.85 * one.part : faintest + (1 - faintest) * Math.sqrt(one.part);
        context.fillStyle = `rgba(${right ? RIGHT : WRONG},${alpha})`;
        context.fillRect(left, top, drawn, drawn);
        if (cell >= DIGIT * (String(one.count).length + 1)) numbers.push({ left, top, alpha, count: one.count });
      }
      if (this.cursor) {
        const [middle, height] = this.center(this.cursor);
        context.strokeStyle = "#888";
        context.lineWidth = 2;
        const size = Math.max(6, cell);
        context.strokeRect(middle - size / 2, height - size / 2, size, size);
      }
      this.drawNames(numbers);
    }

    drawNames(numbers) {
      const { cell, left, top, side, transform: { x, y } } = this, every = Math.max(1, Math.ceil(LABEL / cell));
      const shown = (offset) => this.order.map((name, place) => ({ name: this.short[name], at: (place + 0.5) * cell + offset, place }))
        .filter(({ at, place }) => place % every === 0 && at > 4 && at < side - 4);
      const texts = (kind, data) => this.svg.selectAll(`text.${kind}`).data(data).join("text").attr("class", kind);
      this.svg.selectAll("rect").data([0]).join("rect").attr("x", left).attr("y", top).attr("width", side).attr("height", side);
      texts("row", shown(y)).attr("x", left - 6).attr("y", (d) => top + d.at + 4).attr("text-anchor", "end").text((d) => d.name);
      texts("column", shown(x)).text((d) => d.name)
        .attr("transform", (d) => `translate(${left + d.at + 3} ${top - 6}) rotate(-60)`);
      texts("count", numbers.filter((d) => d.left > -cell / 2 && d.top > -cell / 2 && d.left < side - cell / 2 && d.top < side - cell / 2))
        .attr("x", (d) => left + d.left + cell / 2).attr("y", (d) => top + d.top + cell / 2 + 4).attr("text-anchor", "middle")
        .classed("strong", (d) => d.alpha > 0.7).text((d) => integer(d.count));
    }
  }

  document.querySelectorAll("[data-confusion]").forEach((root) => new Matrix(root));
}
