"use strict";
(() => {
  const DARK = 0.8; // opacity where a word has no weight
  const find = (name) => document.getElementById(name);
  const made = (kind, parent, text = "") => parent.appendChild(Object.assign(document.createElement(kind), { textContent: text }));
  const own = (url) => new URL(url).pathname; // images come from this server, whatever address it gives
  let pinned = null, overlays = [];

  // Draw word number k of a sprite (the words' maps below each other): dark where the word has little weight.
  function draw({ canvas, sprite, words }, k) {
    const pen = canvas.getContext("2d"), width = sprite.naturalWidth, height = sprite.naturalHeight / words;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (k === null || !width) return;
    const small = document.createElement("canvas");
    small.width = width; small.height = height;
    const brush = small.getContext("2d", { willReadFrequently: true });
    brush.drawImage(sprite, 0, k * height, width, height, 0, 0, width, height);
    const pixels = brush.getImageData(0, 0, width, height), values = pixels.data;
    let low = 255, high = 0;
    for (let i = 0; i < values.length; i += 4) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); }
    for (let i = 0; i < values.length; i += 4) {
      const light = high > low ? (values[i] - low) / (high - low) : 0;
      values[i] = values[i + 1] = values[i + 2] = 0;
      values[i + 3] = 255 * DARK * (1 - light);
    }
    brush.putImageData(pixels, 0, 0);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function show(k) {
    for (const overlay of overlays) {
      overlay.canvas.dataset.word = k === null ? "" : k;
      draw(overlay, k);
    }
  }

  function showWords(answer) {
    const box = find("words"), best = new Set(answer.images[0].attention.at(-1)?.best);
    box.replaceChildren();
    box.hidden = false;
    pinned = null;
    answer.words.forEach((word, k) => {
      const button = made("button", box, word);
      button.type = "button";
      button.className = best.has(k) ? "word best" : "word";
      button.setAttribute("aria-pressed", "false");
      for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => show(k));
      for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => show(pinned));
      button.addEventListener("click", () => {
        pinned = pinned === k ? null : k;
        [...box.children].forEach((other, n) => other.setAttribute("aria-pressed", String(n === pinned)));
        show(pinned);
      });
    });
  }

  function showImages(answer) {
    const box = find("images");
    box.replaceChildren();
    overlays = [];
    for (const image of answer.images) {
      const row = made("div", box);
      row.className = "generated";
      image.stages.forEach((stage, number) => {
        const figure = made("figure", row), frame = made("div", figure), shown = made("img", frame);
        frame.className = "frame";
        shown.src = own(stage.url);
        shown.alt = `${answer.caption}, stage ${number + 1}`;
        made("figcaption", figure, `stage ${number + 1}: ${stage.resolution} pixels`);
        const attention = image.attention.findLast((one) => one.stage === number);
        if (!attention) return;
        const canvas = made("canvas", frame), sprite = new Image();
        canvas.width = canvas.height = Math.max(256, stage.resolution);
        sprite.addEventListener("load", () => { canvas.dataset.ready = "true"; show(pinned); });
        sprite.src = own(attention.url);
        overlays.push({ canvas, sprite, words: answer.words.length });
      });
    }
  }

  function describe(answer) {
    const parts = [`seed ${answer.seed}, ${answer.elapsed.toFixed(2)} s`];
    if (answer.unknown_words.length) parts.push(`not known: ${answer.unknown_words.join(", ")}`);
    if (answer.words_left_out.length) parts.push(`left out, the caption is too long: ${answer.words_left_out.join(", ")}`);
    if (overlays.length) parts.push("point at a word to see where the image attends to it; the five best are bold");
    find("note").textContent = parts.join("; ");
  }

  async function ask() {
    const seed = find("seed").value;
    const wanted = { caption: find("caption").value, copies: Number(find("copies").value), seed: seed === "" ? null : Number(seed) };
    const reply = await fetch(document.body.dataset.address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wanted),
    });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.detail);
    showImages(answer);
    showWords(answer);
    describe(answer);
  }

  find("ask").addEventListener("submit", async (event) => {
    event.preventDefault();
    find("problem").textContent = "";
    find("send").disabled = true;
    try { await ask(); } catch (error) { find("problem").textContent = error.message; }
    find("send").disabled = false;
  });
  find("caption").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); find("ask").requestSubmit(); }
  });
})();
