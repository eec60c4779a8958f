// What pages do beyond their HTML: times in the reader's own zone. Without this every page works as it is.
"use strict";

(function () {
  const pad = (n, width = 2) => String(n).padStart(width, "0");
  const shown = (date, seconds) =>
    `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}` +
    (seconds ? `:${pad(date.getSeconds())}` : "");
  for (const time of document.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (!Number.isNaN(date.getTime())) {
      time.textContent = shown(date, time.textContent.length > 16); // as many characters as before: nothing moves
    }
  }
  for (const hour of document.querySelectorAll("text[data-hour]")) {
    const date = new Date(hour.dataset.hour);
    if (!Number.isNaN(date.getTime())) {
      hour.textContent = pad(date.getHours());
    }
  }
  const zone = document.getElementById("zone");
  if (zone) {
    zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone";
  }
  for (const form of document.querySelectorAll("form[data-short]")) {
    form.addEventListener("submit", () => {
      for (const field of form.elements) {
        if (field.name && field.value === "") {
          field.disabled = true; // addresses without empty parameters; the browser has read the others by then
        }
      }
      setTimeout(() => {
        for (const field of form.elements) {
          field.disabled = false;
        }
      });
    });
  }
})();
