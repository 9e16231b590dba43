// Shows the sessions that are asked for. Without this, all of them are there.
"use strict";
const filters = document.querySelector(".filters");
if (filters) {
  const selects = [...filters.querySelectorAll("select")];
  const rows = [...document.querySelectorAll("tbody tr[data-verdict]")];
  const count = filters.querySelector("output");
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !selects.every(({ name, value }) => value === "" || row.dataset[name].split(" ").includes(value));
      shown += !row.hidden;
    }
    count.textContent = shown + " of " + rows.length + " sessions";
  };
  filters.addEventListener("change", apply);
  filters.querySelector("button").addEventListener("click", () => {
    selects.forEach((select) => { select.value = ""; });
    apply();
  });
  filters.hidden = false;
  apply();
}
// Where a chart is wider than the page, the newest runs are what is looked for.
for (const chart of document.querySelectorAll(".trend .plot .scroll")) chart.scrollLeft = chart.scrollWidth;
