// The charts of an experiment: what is read off them, and which stretch of time they show. The page says all of it without this, too.
const SIDE = 10000;
const SELECTS = 5; // pixels that the mouse moves before it selects

// One signal. Moments are seconds since zero.
class Chart {
  constructor(canvas, span) {
    Object.assign(this, { canvas, cursor: canvas.querySelector(".cursor"), dot: canvas.querySelector(".dot"), at: span.start });
    this.output = canvas.closest("figure").querySelector("output");
    const [low, high] = [Number(canvas.dataset.low), Number(canvas.dataset.high)];
    const show = UNITS[canvas.dataset.unit] ?? number;
    const at = (percent) => span.start + (percent / 100) * span.whole;
    this.say = (point) => show(high - (point.y / SIDE) * (high - low));
    // The path's own points: M and l with whole numbers, relative to the one before.
    this.points = [];
    let x = 0, y = 0, piece = 0;
    for (const [, command, dx, dy] of canvas.querySelector(".line").getAttribute("d").matchAll(/([Ml])(-?\d+) ?(-?\d+)/g)) {
      if (command === "M") [x, y, piece] = [0, 0, piece + 1];
      x += Number(dx);
      y += Number(dy);
      this.points.push({ x, y, piece, at: at((x / SIDE) * 100) });
    }
    this.gaps = [...canvas.querySelectorAll(".gap")].map((gap) => {
      const [left, width] = ["x", "width"].map((name) => parseFloat(gap.getAttribute(name)));
      // The readings at its ends are none of it.
      return { from: at(left + 0.02), to: at(left + width - 0.02), why: gap.textContent };
    });
    this.stops = [...this.points.map((point) => point.at), ...this.gaps.map((gap) => (gap.from + gap.to) / 2)].sort((a, b) => a - b);
    this.at = this.stops[0] ?? span.start;
  }
  gap(at) { return this.gaps.find(({ from, to }) => from <= at && at <= to); }
  // The reading at this moment: the nearest of those that a line joins there, or one close by; none where it is hatched.
  reading(at, span) {
    const gap = this.gap(at);
    const later = this.points.findIndex((point) => point.at >= at);
    const [before, after] = later < 0 ? [this.points.at(-1)] : [this.points[later - 1], this.points[later]];
    const nearest = before && (!after || at - before.at < after.at - at) ? before : after;
    const joined = before && after && before.piece === after.piece;
    const near = nearest && (gap ? gap === this.gap(nearest.at) : joined || Math.abs(nearest.at - at) < span.width / 40);
    return near ? nearest : null;
  }
  read(at, span) {
    this.at = at;
    const x = ((at - span.start) / span.whole) * 100 + "%";
    this.canvas.classList.add("on");
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    const point = this.reading(at, span);
    this.dot.classList.toggle("seen", point !== null);
    if (point) {
      this.dot.setAttribute("cx", point.x / 100 + "%");
      this.dot.setAttribute("cy", point.y / 100 + "%");
    }
    const when = (seconds) => moment(span.width < 600 ? seconds : Math.round(seconds)) + ": ";
    this.output.textContent = point ? when(point.at) + this.say(point) : when(at) + (this.gap(at)?.why ?? "no reading");
  }
  clear() {
    this.canvas.classList.remove("on");
    this.output.textContent = "";
  }
  // The next stop in this direction, or null at the end.
  beyond(step) {
    return (step > 0 ? this.stops.find((stop) => stop > this.at) : this.stops.findLast((stop) => stop < this.at)) ?? null;
  }
}

// What stands on the axis in one picture: it moves along, and its ticks are drawn anew.
class Picture {
  constructor(svg) {
    this.svg = svg;
    this.layers = [...svg.querySelectorAll(".time")];
    this.drawn = [...svg.querySelectorAll(".ticks, .labels")].map((group) => ({ group, whole: [...group.childNodes], like: group.firstElementChild }));
    this.selected = svg.appendChild(document.createElementNS(svg.namespaceURI, "rect"));
    this.selected.setAttribute("class", "selected");
    this.selected.setAttribute("height", "100%");
    this.select(0, 0);
  }
  share(event) {
    const box = this.svg.getBoundingClientRect();
    return (event.clientX - box.left) / box.width;
  }
  select(from, to) {
    this.selected.setAttribute("x", Math.min(from, to) * 100 + "%");
    this.selected.setAttribute("width", Math.abs(to - from) * 100 + "%");
  }
  // `printed`: as the page was made, for paper is not as wide as the window.
  show(span, printed) {
    for (const layer of this.layers) {
      layer.setAttribute("x", ((span.start - span.from) / span.width) * 100 + "%");
      layer.setAttribute("width", (span.whole / span.width) * 100 + "%");
    }
    const width = this.svg.getBoundingClientRect().width;
    const ticks = span.ticks(width / 6.5).map(({ share, label }) => ({ x: share, label, anchor: share < 0.02 ? "start" : share > 0.97 ? "end" : "middle" }));
    for (const { group, whole, like } of this.drawn) {
      const labels = group.matches(".labels");
      const asMade = printed || !like || (span.isWhole && !labels);
      group.replaceChildren(...(asMade ? whole : (labels ? this.labels(span, width) : ticks).map((item) => this.like(like, item))));
    }
  }
  like(element, { x, label, anchor }) {
    const one = element.cloneNode(false);
    one.classList.remove("minor", "wide-only");
    for (const name of ["x", "x1", "x2"]) if (one.hasAttribute(name)) one.setAttribute(name, x * 100 + "%");
    if (one.localName === "text") one.textContent = label;
    if (one.hasAttribute("text-anchor")) one.setAttribute("text-anchor", anchor);
    return one;
  }
  // What is written on bands, as far as there is room on what is seen of each.
  labels(span, width) {
    return [...this.svg.querySelectorAll(".labelled rect")].flatMap((rect) => {
      const [left, wide] = ["x", "width"].map((name) => span.start + (parseFloat(rect.getAttribute(name)) / 100) * span.whole);
      const from = Math.max(0, span.share(left));
      const room = Math.floor(((Math.min(1, span.share(left + wide - span.start)) - from) * width - 8) / 6);
      const text = rect.textContent;
      // "Stage 2: 2 of 4 instances", or "Stage 2", or "2"
      const label = [text, text.split(":")[0], text.match(/^Stage (\d+)/)?.[1]].find((one) => one && one.length <= room);
      return label ? [{ x: from + 6 / width, label }] : [];
    });
  }
}

// All pictures of one experiment, and the hands on them.
class Axis {
  constructor(group) {
    const [from, to, zero] = ["from", "to", "zero"].map((name) => Number(group.dataset[name]));
    this.group = group;
    this.span = new Span(from - zero, to - zero);
    this.pictures = [...group.querySelectorAll(".plot > svg[role=img]")].map((svg) => new Picture(svg));
    this.charts = new Map();
    for (const { svg } of this.pictures) if (svg.dataset.low) this.charts.set(svg, new Chart(svg, this.span));
    this.fingers = new Map();
    this.drag = null;
    this.control = group.querySelector(".control");
    this.acts = {
      in: () => this.span.zoomed(2), out: () => this.span.zoomed(0.5),
      earlier: () => this.span.moved(-0.5), later: () => this.span.moved(0.5),
      whole: () => this.span.stretch(this.span.start, this.span.end),
    };
    this.buttons = [...this.control.querySelectorAll("button")];
    for (const button of this.buttons) button.addEventListener("click", () => this.show(this.acts[button.value]()));
    for (const picture of this.pictures) this.listen(picture);
    document.addEventListener("pointerdown", ({ target }) => group.contains(target) || this.clear());
    group.classList.add("live");
    for (const hidden of group.querySelectorAll("[hidden]")) hidden.hidden = false;
    this.show(this.span);
  }
  show(span, printed = false) {
    this.span = span;
    this.group.classList.toggle("zoomed", !span.isWhole);
    this.pictures.forEach((picture) => picture.show(span, printed));
    const off = { in: span.isClosest, out: span.isWhole, whole: span.isWhole, earlier: span.isFirst, later: span.isLast };
    // Not `disabled`: whoever has just pressed it would lose the focus.
    for (const button of this.buttons) button.setAttribute("aria-disabled", off[button.value]);
    const said = this.control.querySelector("output");
    if (said.textContent !== String(span)) said.textContent = span;
  }
  read(at) { this.charts.forEach((chart) => chart.read(at, this.span)); }
  clear() { this.charts.forEach((chart) => chart.clear()); }
  select(from, to) { this.pictures.forEach((picture) => picture.select(from, to)); }
  listen(picture) {
    const { svg } = picture;
    const on = (name, act, options) => svg.addEventListener(name, act, options);
    on("pointerdown", (event) => (event.pointerType === "touch" ? this.touched(event, picture) : event.button || this.pressed(event, picture)));
    on("pointermove", (event) => (event.pointerType === "touch" ? this.slid(event, picture) : this.pointed(event, picture)));
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => (event.pointerType === "touch" ? this.lifted(event) : this.released(event, picture)));
    on("pointerleave", (event) => event.pointerType === "touch" || this.clear());
    on("dblclick", () => this.show(this.acts.whole()));
    on("wheel", (event) => this.wheeled(event, picture), { passive: false });
    const chart = this.charts.get(svg);
    if (!chart) return;
    svg.setAttribute("tabindex", "0");
    on("focus", () => svg.matches(":focus-visible") && this.read(within(this.span.from, chart.at, this.span.to)));
    on("blur", () => this.clear());
    on("keydown", (event) => event.ctrlKey || event.metaKey || event.altKey || (this.typed(event, chart) && event.preventDefault()));
  }
  // -- the mouse: a drag selects, with shift it moves
  pressed(event, picture) {
    picture.svg.setPointerCapture(event.pointerId);
    const share = within(0, picture.share(event), 1);
    this.drag = { x: event.clientX, share, at: this.span.at(share), moves: event.shiftKey, far: false };
  }
  pointed(event, picture) {
    const share = within(0, picture.share(event), 1);
    this.read(this.drag?.moves ? this.drag.at : this.span.at(share));
    if (!this.drag) return;
    this.drag.far ||= Math.abs(event.clientX - this.drag.x) >= SELECTS;
    if (this.drag.moves) this.show(this.span.held([{ at: this.drag.at, share }]));
    else if (this.drag.far) this.select(this.drag.share, share);
  }
  released(event, picture) {
    const { drag, span } = this;
    this.drag = null;
    this.select(0, 0);
    if (event.type === "pointercancel" || !drag?.far || drag.moves) return;
    const [from, to] = [drag.at, span.at(within(0, picture.share(event), 1))].sort((a, b) => a - b);
    this.show(span.stretch(from, to));
  }
  wheeled(event, picture) {
    const lines = event.deltaMode ? 16 : 1;
    const aside = !this.span.isWhole && Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // The page scrolls as ever, unless it is asked to zoom, or sideways.
    if (event.ctrlKey || event.metaKey) this.show(this.span.zoomed(2 ** within(-0.5, (-event.deltaY * lines) / 100, 0.5), this.span.at(picture.share(event))));
    else if (aside) this.show(this.span.moved((event.deltaX * lines) / picture.svg.clientWidth));
    else return;
    event.preventDefault();
  }
  // -- fingers: each keeps the moment under it. Up and down is the page's (touch-action).
  touched(event, picture) {
    picture.svg.setPointerCapture(event.pointerId); // what is under the finger may be drawn anew
    if (this.fingers.size < 2) this.fingers.set(event.pointerId, { share: picture.share(event) });
    this.hold();
    if (this.fingers.size === 1) this.read(this.span.at(picture.share(event)));
  }
  hold() { this.fingers.forEach((finger) => { finger.at = this.span.at(finger.share); }); }
  slid(event, picture) {
    const finger = this.fingers.get(event.pointerId);
    if (!finger) return;
    finger.share = picture.share(event);
    if (this.fingers.size > 1 || !this.span.isWhole) this.show(this.span.held([...this.fingers.values()]));
    else this.read(this.span.at(within(0, finger.share, 1)));
  }
  lifted(event) {
    this.fingers.delete(event.pointerId);
    this.hold();
    if (event.type === "pointercancel") this.clear();
  }
  // -- keys: true for one that means something here
  typed(event, chart) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const end = { Home: 0, End: -1 }[event.key];
    if (event.shiftKey && step) this.show(this.span.moved(step / 4));
    else if (step || end !== undefined) {
      const at = step ? chart.beyond(step) : chart.stops.at(end);
      if (at !== null && at !== undefined) chart.at = at;
      this.show(step ? this.span.around(chart.at) : this.span.moved((end ? 1 : -1) * CLOSEST));
    } else if ("+=".includes(event.key)) this.show(this.span.zoomed(2, chart.at));
    else if ("-_".includes(event.key)) this.show(this.span.zoomed(0.5, chart.at));
    else if (event.key === "Escape" && this.drag) {
      this.drag = null;
      this.select(0, 0);
    } else if (event.key === "0" || (event.key === "Escape" && !this.span.isWhole)) this.show(this.acts.whole());
    else return false;
    this.read(within(this.span.from, chart.at, this.span.to));
    return true;
  }
}

const axes = [...document.querySelectorAll(".charts")].map((group) => new Axis(group));
addEventListener("resize", () => axes.forEach((axis) => axis.show(axis.span)));
// Paper cannot be clicked on, and shows the whole.
let opened = [], shown = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => { details.open = true; });
  shown = axes.map((axis) => axis.span);
  axes.forEach((axis) => axis.show(axis.acts.whole(), true));
});
addEventListener("afterprint", () => {
  opened.forEach((details) => { details.open = false; });
  axes.forEach((axis, number) => axis.show(shown[number]));
});
