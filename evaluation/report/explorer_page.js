"use strict";
(() => {
  const find = (name) => document.getElementById(name);
  const units = JSON.parse(document.body.dataset.units);
  const sliders = [...document.querySelectorAll("#words input")];
  const canvas = find("region"), pen = canvas.getContext("2d"), cells = new Set();
  let asked = 0, waiting = false;

  function wanted() {
    const steps = {};
    for (const slider of sliders) if (Number(slider.value)) steps[slider.dataset.word] = Number(slider.value);
    const body = { seed: Math.max(0, Math.floor(Number(find("seed").value) || 0)), steps };
    if (find("class")?.value) body.of_class = find("class").value;
    if (cells.size && find("label")?.value) {
      body.off = { layer: find("layer").value, label: find("label").value, units: Number(find("units").value) || 1, cells: [...cells] };
    }
    return body;
  }

  // One request at a time; whatever changed meanwhile is asked for when the answer is there.
  async function update() {
    asked += 1;
    if (waiting) return;
    waiting = true;
    let last;
    do {
      last = asked;
      try {
        const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted()) };
        const reply = await fetch("/api/images", options), answer = await reply.json();
        if (!reply.ok) throw new Error(answer.detail);
        for (const name of ["before", "after"]) {
          find(name).src = answer[name];
          find(`save-${name}`).href = answer[name];
        }
        find("problem").textContent = "";
      } catch (error) {
        find("problem").textContent = error.message;
      }
    } while (last !== asked);
    waiting = false;
    document.body.dataset.done = asked;
  }

  function draw() {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = "rgba(255, 150, 20, 0.4)";
    for (const cell of cells) pen.fillRect(cell % canvas.width, Math.floor(cell / canvas.width), 1, 1);
  }

  function paint(event) {
    if (!(event.buttons & 1)) return;
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / box.width * canvas.width);
    const row = Math.floor((event.clientY - box.top) / box.height * canvas.height);
    if (column < 0 || row < 0 || column >= canvas.width || row >= canvas.height) return;
    cells.add(row * canvas.width + column);
    draw();
  }

  function showLabels() {
    find("label").replaceChildren(...units[find("layer").value].map((label) => new Option(label)));
  }

  for (const slider of sliders) slider.addEventListener("input", () => {
    slider.nextElementSibling.textContent = slider.value;
    update();
  });
  find("zero").addEventListener("click", () => {
    for (const slider of sliders) { slider.value = 0; slider.nextElementSibling.textContent = "0"; }
    update();
  });
  find("random").addEventListener("click", () => {
    find("seed").value = Math.floor(Math.random() * 2 ** 31);
    update();
  });
  find("seed").addEventListener("change", update);
  find("class")?.addEventListener("change", update);
  if (Object.keys(units).length) {
    for (const kind of ["pointerdown", "pointermove"]) canvas.addEventListener(kind, paint);
    canvas.addEventListener("pointerup", update);
    find("layer").addEventListener("change", () => { showLabels(); update(); });
    for (const name of ["label", "units"]) find(name).addEventListener("change", update);
    find("clear").addEventListener("click", () => { cells.clear(); draw(); update(); });
    showLabels();
  }
  update();
})();
