// A click on a heading sorts its table by that column, a second click the other way round.
for (const heading of document.querySelectorAll("th")) {
  heading.addEventListener("click", () => {
    const headings = [...heading.parentElement.children];
    const column = headings.indexOf(heading);
    const up = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    const order = (a, b) => {
      const numbers = [Number(key(a)), Number(key(b))];
      const both = numbers.every((number) => !Number.isNaN(number));
      return both ? numbers[0] - numbers[1] : key(a).localeCompare(key(b));
    };
    const body = heading.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => (up ? order(a, b) : order(b, a)));
    body.append(...rows);
  });
}
