"use strict";

/** Sorting a table by a column: its head has a button, its cells say in data-key what they are sorted by. */
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];

    /** @param {HTMLTableRowElement} row @param {number} column @returns {number | string} */
    const key = (row, column) => {
      const text = row.cells[column].dataset.key ?? "";
      return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    };

    /**
     * What has no value comes last, whichever way it is sorted.
     * @param {number | string} a @param {number | string} b @param {number} sign
     */
    const compare = (a, b, sign) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      if (typeof a === "number" && typeof b === "number") return sign * (a - b);
      return sign * String(a).localeCompare(String(b));
    };

    heads.forEach((head, column) => {
      head.querySelector("button")?.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column), falling ? -1 : 1));
        body.append(...rows);
      });
    });
  }
})();
