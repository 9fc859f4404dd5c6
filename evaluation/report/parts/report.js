"use strict";
(() => {
  const shade = JSON.parse(document.body.dataset.shade), line = +document.body.dataset.line;
  const opacity = new Uint8ClampedArray(256);
  for (let v = 0; v < 256; v++) {
    const x = v / 255;
    let k = 0;
    while (k < shade.length - 2 && x > shade[k + 1][0]) k++;
    const [a, from] = shade[k], [b, to] = shade[k + 1];
    opacity[v] = 255 * (from + ((to - from) * (x - a)) / (b - a));
  }

  // The line where a grid of values at cell centres passes a level, as one path in cells: marching squares.
  function contour(values, w, h, level) {
    const path = new Path2D(), last = (n, m) => Math.max(0, Math.min(n - 1, m));
    const at = (x, y) => values[last(h, y) * w + last(w, x)] - level;
    for (let y = -1; y < h; y++) for (let x = -1; x < w; x++) {
      const corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]], cuts = [];
      for (let k = 0; k < 4; k++) {
        const [a, b] = [corners[k], corners[(k + 1) % 4]], [u, v] = [at(...a), at(...b)];
        if (u < 0 === v < 0) continue;
        const f = u / (u - v);
        cuts.push([a[0] + f * (b[0] - a[0]) + 0.5, a[1] + f * (b[1] - a[1]) + 0.5]);
      }
      for (let k = 0; k + 1 < cuts.length; k += 2) { path.moveTo(...cuts[k]); path.lineTo(...cuts[k + 1]); }
    }
    return path;
  }

  function heatmap(canvas) {
    const h = +canvas.dataset.h, w = +canvas.dataset.w, t = +canvas.dataset.t;
    const small = document.createElement("canvas");
    small.width = w; small.height = h;
    const pen = small.getContext("2d"), frame = pen.createImageData(w, h);
    const box = canvas.parentElement.getBoundingClientRect();
    canvas.width = Math.round(2 * box.width); canvas.height = Math.round(2 * box.height);
    const brush = canvas.getContext("2d");
    brush.imageSmoothingQuality = "high";
    let grey = null, wanted = null;
    const image = new Image();
    image.onload = () => {
      const whole = document.createElement("canvas");
      whole.width = w * t; whole.height = h;
      const reader = whole.getContext("2d", { willReadFrequently: true });
      reader.drawImage(image, 0, 0);
      grey = reader.getImageData(0, 0, w * t, h).data;
      if (wanted !== null) draw(wanted);
    };
    image.src = canvas.dataset.sprite;
    function draw(share) {
      wanted = share;
      if (!grey) return;
      const at = Math.min(t - 1, Math.max(0, share * t - 0.5));
      const left = Math.floor(at), right = Math.min(t - 1, left + 1), mix = at - left;
      const values = new Float32Array(w * h);
      for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
        const row = y * w * t + x;
        const v = grey[4 * (row + left * w)] * (1 - mix) + grey[4 * (row + right * w)] * mix;
        values[y * w + x] = v / 255;
        frame.data[4 * (y * w + x) + 3] = opacity[Math.round(v)];
      }
      pen.putImageData(frame, 0, 0);
      brush.setTransform(1, 0, 0, 1, 0, 0);
      brush.clearRect(0, 0, canvas.width, canvas.height);
      brush.drawImage(small, 0, 0, canvas.width, canvas.height);
      const sx = canvas.width / w, sy = canvas.height / h, path = new Path2D();
      path.addPath(contour(values, w, h, line), new DOMMatrix([sx, 0, 0, sy, 0, 0]));
      for (const [width, colour] of [[7, "#000a"], [3, "#fff"]]) {
        brush.lineWidth = width; brush.strokeStyle = colour; brush.lineCap = "round";
        brush.stroke(path);
      }
    }
    return draw;
  }

  function start(card) {
    const canvas = card.querySelector("canvas"), slider = card.querySelector(".time"), clock = card.querySelector(".clock");
    const plot = card.querySelector(".plot"), cursor = card.querySelector(".cursor"), audio = card.querySelector("audio");
    const button = card.querySelector(".play"), words = card.querySelectorAll(".words span");
    const draw = heatmap(canvas), peak = (+canvas.dataset.peak + 0.5) / +canvas.dataset.t;
    if (!plot) { draw(peak); return; } // a written caption has no time
    const seconds = +plot.dataset.seconds;
    function show(time) {
      slider.value = time;
      clock.textContent = time.toFixed(1) + " s";
      cursor.style.left = (100 * time) / seconds + "%";
      draw(time / seconds);
      for (const word of words) word.classList.toggle("now", time >= +word.dataset.start && time < +word.dataset.end);
    }
    function seek(time) {
      const clipped = Math.max(0, Math.min(seconds, time));
      if (audio) audio.currentTime = clipped;
      show(clipped);
    }
    slider.addEventListener("input", () => seek(+slider.value));
    plot.addEventListener("pointerdown", (event) => {
      const box = plot.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * seconds);
    });
    for (const word of words) word.addEventListener("click", () => seek(+word.dataset.start));
    card.querySelector(".heat").addEventListener("change", (event) => { canvas.hidden = !event.target.checked; });
    if (audio) {
      audio.removeAttribute("controls");
      let fromPeak = true;
      const follow = () => {
        show(Math.min(audio.currentTime, seconds));
        if (!audio.paused) requestAnimationFrame(follow);
      };
      audio.addEventListener("timeupdate", () => { if (!audio.paused) show(Math.min(audio.currentTime, seconds)); });
      audio.addEventListener("play", () => {
        for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
        button.classList.add("playing");
        button.setAttribute("aria-label", "pause");
        requestAnimationFrame(follow);
      });
      for (const end of ["pause", "ended"]) audio.addEventListener(end, () => {
        button.classList.remove("playing");
        button.setAttribute("aria-label", "play the caption");
      });
      slider.addEventListener("input", () => { fromPeak = false; });
      button.addEventListener("click", () => {
        if (!audio.paused) { audio.pause(); return; }
        if (fromPeak || audio.currentTime >= seconds - 0.05) audio.currentTime = 0;
        fromPeak = false;
        audio.play();
      });
    }
    show(peak * seconds);
  }

  document.documentElement.classList.add("scripted");
  for (const card of document.querySelectorAll("article.query")) start(card);
})();
