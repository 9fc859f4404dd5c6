"use strict";
(() => {
  const RATE = 16000, LONGEST = 30; // Hz and seconds of a recording
  const find = (name) => document.getElementById(name);
  const made = (kind, parent, text = "") => parent.appendChild(Object.assign(document.createElement(kind), { textContent: text }));
  const typed = !find("instruction").disabled;
  let scene = null, recorder = null, busy = false;

  async function ask(method, path, body, kind = "application/json") {
    const content = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
    const reply = await fetch(document.body.dataset.address + path, {
      method, body: content, headers: body === undefined ? {} : { "Content-Type": kind },
    });
    if (reply.status === 204) return null;
    const answer = await reply.json();
    if (reply.ok) return answer;
    if (reply.status === 404) scene = null; // closed: the next turn begins another one
    throw new Error(answer.detail);
  }

  const seed = () => Number(find("seed").value || 0);
  const candidates = () => Number(find("candidates").value || 1);

  async function open() {
    if (scene === null) scene = await ask("POST", "", { seed: seed() });
  }

  function frame(parent, image, gate, text) {
    const box = made("div", parent);
    box.className = "frame";
    Object.assign(made("img", box), { src: image, alt: text });
    if (gate) Object.assign(made("img", box), { src: gate, alt: "", className: "gate" });
  }

  function choices(parent, turn) {
    const box = made("div", parent);
    box.className = "candidates";
    turn.images.forEach((image, k) => {
      const button = made("button", box);
      button.type = "button";
      button.setAttribute("aria-pressed", String(k === turn.chosen));
      button.setAttribute("aria-label", `candidate ${k}`);
      Object.assign(made("img", button), { src: image, alt: "" });
      made("span", button, turn.scores[k].toFixed(1));
      button.addEventListener("click", () => run(async () => {
        scene.turns[scene.turns.length - 1] = await ask("PUT", `/${scene.id}/turns/last`, { chosen: k });
      }));
    });
  }

  function show() {
    const box = find("turns");
    box.replaceChildren();
    find("undo").disabled = busy || !scene || !scene.turns.length;
    if (!scene) return;
    const first = made("figure", box);
    frame(first, scene.background, null, "the empty scene");
    made("figcaption", first, "the empty scene");
    for (const turn of scene.turns) {
      const figure = made("figure", box);
      frame(figure, turn.images[turn.chosen], turn.gate, turn.instruction);
      const caption = made("figcaption", figure, `${turn.number}. ${turn.instruction}`);
      const notes = [`seed ${turn.seed}`];
      if (turn.unknown_words.length) notes.push(`not known: ${turn.unknown_words.join(", ")}`);
      made("span", caption, notes.join("; ")).className = "note";
      if (turn === scene.turns.at(-1) && turn.images.length > 1) choices(figure, turn);
    }
  }

  // Do one thing at a time; what goes wrong is shown.
  async function run(action) {
    if (busy) return;
    busy = true;
    find("problem").textContent = "";
    for (const name of ["send", "undo", "new", "record", "sound"]) find(name).disabled = true;
    try { await action(); } catch (error) { find("problem").textContent = error.message; }
    busy = false;
    find("send").disabled = !typed;
    find("record").disabled = find("sound").disabled = typed;
    find("new").disabled = false;
    show();
  }

  async function draw(path, body, kind) {
    await open();
    const turn = await ask("POST", `/${scene.id}${path}`, body, kind);
    const before = scene.turns.at(-1);
    if (before) Object.assign(before, { images: [before.images[before.chosen]], scores: [before.scores[before.chosen]], chosen: 0 });
    scene.turns.push(turn);
  }

  // Return a recording or file as WAV of 16 kHz, one channel, 16 bits, whatever this browser can decode.
  async function wav(blob) {
    let sound;
    try {
      sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
    } catch { throw new Error("this is no sound that the browser can read"); }
    if (sound.length > LONGEST * RATE) throw new Error(`the sound is ${sound.duration.toFixed(1)} s long, expected at most ${LONGEST} s: say one instruction`);
    const count = sound.length, mixed = new Float32Array(count);
    for (let c = 0; c < sound.numberOfChannels; c++) {
      const own = sound.getChannelData(c);
      for (let i = 0; i < count; i++) mixed[i] += own[i] / sound.numberOfChannels;
    }
    const bytes = new DataView(new ArrayBuffer(44 + 2 * count));
    const text = (at, letters) => [...letters].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF"); bytes.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt ");
    bytes.setUint32(16, 16, true); bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true);
    bytes.setUint32(24, RATE, true); bytes.setUint32(28, 2 * RATE, true); bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true);
    text(36, "data"); bytes.setUint32(40, 2 * count, true);
    mixed.forEach((value, i) => bytes.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
    return new Blob([bytes.buffer], { type: "audio/wav" });
  }

  const speak = (blob) => run(async () => {
    await draw(`/speech?candidates=${candidates()}&seed=${seed()}`, await wav(blob), "audio/wav");
  });

  async function record() {
    if (recorder) { recorder.stop(); return; }
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); } catch (error) {
      find("problem").textContent = `there is no microphone that this page may use (${error.message})`;
      return;
    }
    const parts = [], one = new MediaRecorder(stream);
    recorder = one;
    one.addEventListener("dataavailable", (event) => parts.push(event.data));
    one.addEventListener("stop", () => {
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      find("record").textContent = "Record";
      find("record").setAttribute("aria-pressed", "false");
      speak(new Blob(parts, { type: one.mimeType }));
    });
    one.start();
    setTimeout(() => { if (one.state !== "inactive") one.stop(); }, (LONGEST - 0.5) * 1000); // it stops a little later
    find("record").textContent = "Stop and draw";
    find("record").setAttribute("aria-pressed", "true");
  }

  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run(async () => {
      await draw("/turns", { instruction: find("instruction").value, candidates: candidates(), seed: seed() });
      find("instruction").value = "";
    });
  });
  find("undo").addEventListener("click", () => run(async () => { scene = await ask("DELETE", `/${scene.id}/turns/last`); }));
  find("new").addEventListener("click", () => run(async () => {
    const old = scene;
    scene = null;
    if (old) await ask("DELETE", `/${old.id}`);
  }));
  find("gates").addEventListener("change", () => find("turns").classList.toggle("gates", find("gates").checked));
  find("record").addEventListener("click", record);
  find("sound").addEventListener("change", () => { if (find("sound").files.length) speak(find("sound").files[0]); find("sound").value = ""; });
})();
