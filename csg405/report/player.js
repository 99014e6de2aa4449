"use strict";

/**
 * The clips of the page: playing, the skeletons, over the picture or beside each other, and filtering.
 *
 * A card has one medium, a video or a sound, whose time all of it follows, and one canvas for each skeleton.
 *
 * A page opened from disk may not fetch, so keypoints come as scripts (data/<clip>.js) that add themselves to
 * window.CSG; one is loaded when its clip first comes near the screen.
 */
(() => {
  /**
   * @typedef {object} Track
   * @property {number} size side of the picture in which the keypoints lie, px
   * @property {number} frames
   * @property {number} points points a frame
   * @property {number} unit sixteenths (or the like) of a pixel that a coordinate counts
   * @property {Int16Array} xy [frames, points, 2]
   * @property {Uint8Array} score [frames, points], 0-255
   */

  const FPS = 25;

  /** Cool is the person's left, warm the right; joints are discs on the left and squares on the right. */
  const STYLES = {
    middle: { colour: "#ffffff", width: 2.5, joint: 0 },
    left: { colour: "#56b4e9", width: 3.5, joint: 4 },
    right: { colour: "#f39c12", width: 3.5, joint: 4 },
    left_hand: { colour: "#8be0ff", width: 1.75, joint: 2 },
    right_hand: { colour: "#ffd966", width: 1.75, joint: 2 },
  };
  const HALO = "rgba(0, 0, 0, 0.55)";

  const gallery = document.getElementById("clips");
  const tools = gallery?.querySelector(".tools");
  if (!gallery || !tools) return;

  const skeleton = JSON.parse(document.getElementById("skeleton").textContent);
  const threshold = Number(gallery.dataset.threshold) * 255;
  /** Missing on a page of skeletons alone. */
  const showSkeleton = /** @type {HTMLInputElement | null} */ (document.getElementById("show-skeleton"));
  const withSound = /** @type {HTMLInputElement} */ (document.getElementById("with-sound"));

  /** @param {string} text base64 @returns {ArrayBuffer} */
  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  }

  /**
   * Load a motion's keypoints by a script tag.
   * @param {string} name under which the script adds them
   * @param {string} address
   * @returns {Promise<Track>}
   */
  function loadTrack(name, address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => {
        const raw = window.CSG[name];
        delete window.CSG[name];
        script.remove();
        resolve({ ...raw, xy: new Int16Array(bytes(raw.xy)), score: new Uint8Array(bytes(raw.score)) });
      };
      script.onerror = () => reject(new Error(`${address} is missing`));
      document.head.append(script);
    });
  }

  /** A canvas and the motion that is drawn on it. */
  class Layer {
    /** @param {HTMLCanvasElement} canvas @param {HTMLElement} card its name and address, where the canvas has none */
    constructor(canvas, card) {
      this.canvas = canvas;
      this.name = canvas.dataset.name ?? card.dataset.clip;
      this.address = canvas.dataset.track ?? card.dataset.track;
      /** @type {Track | null} */
      this.track = null;
    }

    /** @param {number} frame */
    draw(frame) {
      const { canvas, track } = this;
      const side = Math.round(canvas.clientWidth * devicePixelRatio);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, side, side);
      if (!track || !side || showSkeleton?.checked === false || frame >= track.frames) return;
      const first = frame * track.points;
      const scale = side / track.size;
      const place = (point) => ({
        // Keypoints count from the centre of the top-left pixel, a canvas from that pixel's corner.
        x: (track.xy[2 * (first + point)] / track.unit + 0.5) * scale,
        y: (track.xy[2 * (first + point) + 1] / track.unit + 0.5) * scale,
        seen: track.score[first + point] >= threshold,
      });
      const points = Array.from({ length: track.points }, (_, point) => place(point));
      drawSkeleton(pen, points, Math.max(side / 512, 0.75));
    }
  }

  /** One clip: its picture or sound, its skeletons, its slider. */
  class Player {
    /** @param {HTMLElement} card */
    constructor(card) {
      this.card = card;
      this.medium = /** @type {HTMLMediaElement} */ (card.querySelector("video, audio"));
      this.layers = [...card.querySelectorAll("canvas")].map((canvas) => new Layer(canvas, card));
      this.slider = card.querySelector("input[type=range]");
      this.output = card.querySelector("output");
      this.button = card.querySelector(".play");
      this.frame = 0;
      this.listen();
    }

    listen() {
      const { medium, slider, button } = this;
      button.addEventListener("click", () => (medium.paused ? this.play() : medium.pause()));
      slider.addEventListener("input", () => this.seek(Number(slider.value)));
      for (const event of ["play", "pause"]) {
        medium.addEventListener(event, () => this.sayState());
      }
      if ("requestVideoFrameCallback" in medium) {
        const onFrame = (_now, { mediaTime }) => {
          this.show(Math.floor(mediaTime * FPS + 0.5));
          medium.requestVideoFrameCallback(onFrame);
        };
        medium.requestVideoFrameCallback(onFrame);
        return;
      }
      // Without that call only the clock is known: the frame on the screen is the last one begun.
      const now = () => this.show(Math.floor(medium.currentTime * FPS + 0.01));
      const follow = () => {
        now();
        if (!medium.paused) requestAnimationFrame(follow);
      };
      medium.addEventListener("play", follow);
      for (const event of ["timeupdate", "seeked", "loadeddata"]) medium.addEventListener(event, now);
    }

    /** Get the first picture and the keypoints; called when the clip comes near the screen. */
    wake() {
      this.medium.preload = "auto";
      for (const layer of this.layers) {
        if (!layer.address) continue;
        loadTrack(layer.name, layer.address).then(
          (loaded) => {
            layer.track = loaded;
            layer.draw(this.frame);
          },
          (error) => this.card.classList.add("no-track") || console.warn(String(error)),
        );
      }
    }

    play() {
      for (const other of players) if (other !== this) other.medium.pause();
      this.medium.muted = !withSound.checked;
      this.medium.playbackRate = speed();
      void this.medium.play();
    }

    /** @param {number} frame */
    seek(frame) {
      this.medium.pause();
      this.medium.currentTime = (frame + 0.5) / FPS;
    }

    /** @param {number} frame the one on the screen */
    show(frame) {
      const frames = Number(this.slider.max) + 1;
      this.frame = Math.min(Math.max(frame, 0), frames - 1);
      this.slider.value = String(this.frame);
      this.output.textContent = `${this.frame + 1} / ${frames}`;
      this.draw();
    }

    sayState() {
      const playing = !this.medium.paused;
      this.card.classList.toggle("playing", playing);
      this.button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${this.card.dataset.clip}`);
    }

    /** Draw the skeletons of the frame on the screen. */
    draw() {
      for (const layer of this.layers) layer.draw(this.frame);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {{x: number, y: number, seen: boolean}[]} points
   * @param {number} zoom of all widths
   */
  function drawSkeleton(pen, points, zoom) {
    pen.lineCap = pen.lineJoin = "round";
    for (const [side, style] of Object.entries(STYLES)) {
      const links = skeleton.links.filter(
        ([from, to, of]) => of === side && points[from].seen && points[to].seen,
      );
      const lines = new Path2D();
      const joints = new Path2D();
      for (const [from, to] of links) {
        lines.moveTo(points[from].x, points[from].y);
        lines.lineTo(points[to].x, points[to].y);
        for (const { x, y } of [points[from], points[to]]) {
          const reach = style.joint * zoom;
          if (side.startsWith("left")) {
            joints.moveTo(x + reach, y);
            joints.arc(x, y, reach, 0, 2 * Math.PI);
          } else {
            joints.rect(x - reach, y - reach, 2 * reach, 2 * reach);
          }
        }
      }
      pen.strokeStyle = HALO;
      pen.lineWidth = (style.width + 2) * zoom;
      pen.stroke(lines);
      pen.strokeStyle = pen.fillStyle = style.colour;
      pen.lineWidth = style.width * zoom;
      pen.stroke(lines);
      if (style.joint) pen.fill(joints);
    }
    const dot = 1.4 * zoom;
    for (const { x, y, seen } of skeleton.face.map((point) => points[point])) {
      if (!seen) continue;
      pen.fillStyle = HALO;
      pen.fillRect(x - dot - zoom / 2, y - dot - zoom / 2, 2 * dot + zoom, 2 * dot + zoom);
      pen.fillStyle = STYLES.middle.colour;
      pen.fillRect(x - dot, y - dot, 2 * dot, 2 * dot);
    }
  }

  /** @returns {number} */
  function speed() {
    return Number(tools.querySelector("input[name=speed]:checked").value);
  }

  const cards = /** @type {HTMLElement[]} */ ([...gallery.querySelectorAll(".card")]);
  const players = cards.filter((card) => card.querySelector("video, audio")).map((card) => new Player(card));
  const byCard = new Map(players.map((player) => [player.card, player]));

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        byCard.get(target).wake();
      }
    },
    { rootMargin: "300px" },
  );
  for (const { card } of players) watcher.observe(card);
  // A clip that scrolls away stops.
  const leaver = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (!isIntersecting) byCard.get(target).medium.pause();
  });
  for (const { card } of players) leaver.observe(card);

  const wanted = { verdict: "", video: "", reasons: new Set() };

  /** Show the cards that have all that is wanted, and say how many they are. */
  function filter() {
    let shown = 0;
    for (const card of cards) {
      const { verdict, video, reasons } = card.dataset;
      const has = JSON.parse(reasons);
      const fits =
        (!wanted.verdict || wanted.verdict === verdict || (wanted.verdict === "review" && "review" in card.dataset)) &&
        (!wanted.video || wanted.video === video) &&
        [...wanted.reasons].every((reason) => has.includes(reason));
      card.hidden = !fits;
      if (fits) shown += 1;
    }
    for (const chip of tools.querySelectorAll(".chip")) {
      const { verdict, reason } = chip.dataset;
      const pressed = reason === undefined ? wanted.verdict === verdict : wanted.reasons.has(reason);
      chip.setAttribute("aria-pressed", String(pressed));
    }
    document.getElementById("shown").textContent = `${shown} of ${cards.length} clips`;
    document.getElementById("no-match").hidden = shown > 0;
  }

  tools.addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (!chip) return;
    const { verdict, reason } = chip.dataset;
    if (reason === undefined) wanted.verdict = verdict;
    else if (!wanted.reasons.delete(reason)) wanted.reasons.add(reason);
    filter();
  });
  document.getElementById("pick-video")?.addEventListener("change", (event) => {
    wanted.video = event.target.value;
    filter();
  });
  document.getElementById("clear").addEventListener("click", () => {
    wanted.verdict = wanted.video = "";
    wanted.reasons.clear();
    const pick = document.getElementById("pick-video");
    if (pick) pick.value = "";
    filter();
  });

  showSkeleton?.addEventListener("change", () => players.forEach((player) => player.draw()));
  withSound.addEventListener("change", () => players.forEach(({ medium }) => (medium.muted = !withSound.checked)));
  tools.addEventListener("change", () => players.forEach(({ medium }) => (medium.playbackRate = speed())));
  addEventListener("resize", () => players.forEach((player) => player.draw()));

  tools.hidden = false;
  filter();
})();
