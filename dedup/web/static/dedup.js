// Converts times to the zone of the browser, and shortens the URLs of filter forms. Pages work without it.
"use strict";

(function () {
  const pad = (n, width = 2) => String(n).padStart(width, "0");
  const format = (date, seconds) =>
    `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}` +
    (seconds ? `:${pad(date.getSeconds())}` : "");
  for (const time of document.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (!Number.isNaN(date.getTime())) {
      time.textContent = format(date, time.textContent.length > 16); // same length, so that the layout does not move
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
          field.disabled = true; // omits empty parameters from the URL; enabled again after the browser has read the form
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
