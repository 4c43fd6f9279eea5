// Tables with data-sortable are sorted by a click on a heading: by the numbers or words of their cells, or by
// data-value; fields with data-filters show the rows that match.
"use strict";
{
  const number = (text) => Number.parseFloat(text.replace(/[,%\s]/g, ""));
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b, "en", { numeric: true });
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
  };

  const sort = (table, column, descending) => {
    const body = table.tBodies[0], text = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const unknown = (text(a) === "-") - (text(b) === "-");
      return unknown || (descending ? -1 : 1) * compare(text(a), text(b));
    });
    body.append(...rows);
    table.querySelectorAll("thead th").forEach((heading, index) => {
      if (index === column) heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    table.querySelectorAll("thead th").forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading.getAttribute("aria-sort") === "ascending"));
    });
  }

  for (const field of document.querySelectorAll("input[data-filters]")) {
    const rows = [...document.getElementById(field.dataset.filters).tBodies[0].rows];
    const tools = field.closest(".tools"), output = tools.querySelector("output");
    const filter = () => {
      const words = field.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      output.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
    };
    field.addEventListener("input", filter);
    tools.hidden = false;
    filter();
  }
}
