// Everything works without this: it only shows times in the reader's own zone, and keeps one choice of a form in step.
"use strict";

const shapes = {
  full: { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" },
  day: { year: "numeric", month: "2-digit", day: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit" },
};

for (const element of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(element.dateTime);
  const shape = shapes[element.dataset.shape] || shapes.full;
  if (!Number.isNaN(moment.getTime())) {
    element.title = `${element.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    // The Swedish way of writing a date is ISO 8601, which is what the server writes as well.
    element.textContent = new Intl.DateTimeFormat("sv-SE", { hour12: false, ...shape }).format(moment);
  }
}

const choose = (scope) => {
  const radio = document.querySelector(`#decide input[name="scope"][value="${scope}"]`);
  if (radio) {
    radio.checked = true;
  }
};

for (const box of document.querySelectorAll('input[name="only"], #decide input[name="kind"]')) {
  box.addEventListener("change", () => box.checked && choose(box.name === "only" ? "people" : "kinds"));
}
