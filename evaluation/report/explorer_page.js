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

  // 16-bit WAV, mono at 16 kHz, at most 15 s, of whatever the browser decodes.
  async function wav(content) {
    const rate = 16000, context = new OfflineAudioContext(1, 1, rate);
    let sound;
    try {
      sound = await context.decodeAudioData(content);
    } catch {
      throw new Error("this file is no sound that the browser decodes; record one word");
    }
    const length = Math.min(sound.length, 15 * rate), view = new DataView(new ArrayBuffer(44 + 2 * length));
    const text = (at, letters) => [...letters].forEach((one, n) => view.setUint8(at + n, one.charCodeAt(0)));
    text(0, "RIFF"); text(8, "WAVEfmt "); text(36, "data");
    for (const [at, value] of [[4, 36 + 2 * length], [16, 16], [24, rate], [28, 2 * rate], [40, 2 * length]]) view.setUint32(at, value, true);
    for (const [at, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) view.setUint16(at, value, true);
    const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
    for (let n = 0; n < length; n += 1) {
      const mean = channels.reduce((sum, one) => sum + one[n], 0) / channels.length;
      view.setInt16(44 + 2 * n, Math.round(32767 * Math.max(-1, Math.min(1, mean))), true);
    }
    return view.buffer;
  }

  async function hear(content) {
    find("heard").textContent = "listening …";
    find("problem").textContent = "";
    try {
      const options = { method: "POST", headers: { "Content-Type": "audio/wav" }, body: await wav(content) };
      const reply = await fetch("/api/speak", options), answer = await reply.json();
      if (!reply.ok) throw new Error(answer.detail);
      const slider = sliders.find((one) => one.dataset.word === answer.word);
      slider.value = document.body.dataset.step;
      slider.nextElementSibling.textContent = slider.value;
      find("heard").textContent = answer.ranking.slice(0, 3).map((one) => `${one.word} ${one.score.toFixed(2)}`).join(", ");
      await update();
    } catch (error) {
      find("heard").textContent = "";
      find("problem").textContent = error.message;
    }
  }

  async function record() {
    const button = find("record");
    button.disabled = true;
    find("problem").textContent = "";
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const recorder = new MediaRecorder(stream), parts = [];
      recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
      const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve));
      recorder.start();
      find("heard").textContent = "speak now";
      setTimeout(() => recorder.stop(), 1000 * Number(document.body.dataset.seconds));
      await stopped;
      for (const track of stream.getTracks()) track.stop();
      await hear(await new Blob(parts).arrayBuffer());
    } catch (error) {
      find("heard").textContent = "";
      find("problem").textContent = `the microphone cannot be used: ${error.message}`;
    }
    button.disabled = false;
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
  find("record")?.addEventListener("click", record);
  find("sound")?.addEventListener("change", async () => {
    const file = find("sound").files[0];
    if (file) await hear(await file.arrayBuffer());
    find("sound").value = "";
  });
  update();
})();
