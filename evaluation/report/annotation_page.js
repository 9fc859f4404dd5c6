"use strict";
(() => {
  const find = (name) => document.getElementById(name);
  const pair = document.querySelector(".pair");
  let row = null;

  async function ask(address, body) {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const reply = await fetch(address, options);
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.detail);
    return answer;
  }

  function ready(on) {
    find("send").disabled = find("skip").disabled = !on;
  }

  async function attempt(action) {
    find("problem").textContent = "";
    ready(false);
    try {
      await action();
    } catch (error) {
      find("problem").textContent = error.message;
      ready(row !== null);
    }
  }

  async function next() {
    const name = find("annotator").value.trim();
    if (!name) return;
    const shown = await ask(`/api/pair?annotator=${encodeURIComponent(name)}`);
    row = shown.row;
    pair.hidden = row === null;
    find("note").textContent = row === null ? `all ${shown.pairs} pairs are done, thank you`
      : `pair ${row}; ${shown.done} of ${shown.pairs} done`;
    if (row === null) return;
    find("before").src = shown.before;
    find("after").src = shown.after;
    find("text").value = "";
    find("text").focus();
    ready(true);
  }

  find("annotator").addEventListener("change", () => attempt(next));
  find("write").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = find("annotator").value.trim(), text = find("text").value.trim();
    if (row === null || !name) { find("problem").textContent = "write your name first"; return; }
    if (!text) { find("problem").textContent = "write what changes, or skip the pair"; return; }
    attempt(async () => { await ask("/api/annotations", { row, annotator: name, text }); await next(); });
  });
  find("skip").addEventListener("click", () => attempt(async () => {
    await ask("/api/skips", { row, annotator: find("annotator").value.trim() });
    await next();
  }));
})();
