// What the time axis of an experiment's charts shows, and how times and values are said. There is no page in it.
"use strict";
const NBSP = "\u00a0";
const MINUS = "\u2212";
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]; // seconds
const MOST_TICKS = 8;
const CLOSEST = 50; // times: a line is drawn from no more readings than that shows apart
const SHORTEST = 0.5; // seconds
const within = (low, value, high) => Math.min(high, Math.max(low, value));

// Three significant digits, thousands apart; as format.py has it.
const number = (value) => {
  const size = Math.abs(value);
  const text = size >= 999.5 ? Math.round(size).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f") : Number(size.toPrecision(3)).toString();
  return (value < 0 ? MINUS : "") + text;
};
// To a tenth of a second: "12.5 s", "2 min 5 s", "1 h 4 min".
const duration = (seconds) => {
  const size = Number(seconds.toFixed(1));
  if (size < 99.95) return size + NBSP + "s";
  const parts = [[Math.floor(size / 3600), "h"], [Math.floor(size / 60) % 60, "min"], [Number((size % 60).toFixed(1)), "s"]];
  return parts.filter(([amount]) => amount).map(([amount, unit]) => amount + NBSP + unit).join(NBSP);
};
// A moment, in seconds since zero: "+12.5 s".
const moment = (seconds) => (Math.abs(seconds) < 0.05 ? "0" : (seconds < 0 ? MINUS : "+") + duration(Math.abs(seconds)));
// "02:10", "1:02:10"; with tenths "02:10.5".
const clock = (seconds, tenths) => {
  const all = Math.round(seconds * (tenths ? 10 : 1)) / (tenths ? 10 : 1);
  const two = (amount, digits) => amount.toFixed(digits).padStart(digits ? 4 : 2, "0");
  const hours = Math.floor(all / 3600);
  return (hours ? hours + ":" : "") + two(Math.floor(all / 60) % 60, 0) + ":" + two(all % 60, tenths ? 1 : 0);
};
const UNITS = {
  s: (value) => {
    if (Math.abs(value) < 0.9995) return number(value * 1000) + NBSP + "ms";
    if (value < 60) return number(value) + NBSP + "s";
    const step = value < 99.95 ? 0.1 : value < 3599.5 ? 1 : 60;
    return duration(step < 60 ? Math.round(value / step) * step : Math.floor(Math.round(value) / 60) * 60);
  },
  ratio: (value) => number(value * 100) + NBSP + "%",
  "/s": (value) => number(value) + NBSP + "/s",
  B: (value) => {
    let power = 0;
    for (; Math.abs(value) >= 1024 && power < 5; power++) value /= 1024;
    return number(value) + NBSP + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][power];
  },
  number,
};

// The stretch from `from` to `to` of a whole from `start` to `end`, in seconds since zero. It never changes.
class Span {
  constructor(start, end, from = start, to = end) {
    Object.assign(this, { start, end, from, to, width: to - from, whole: end - start });
    this.least = Math.min(this.whole, Math.max(this.whole / CLOSEST, SHORTEST));
  }
  get isWhole() { return this.width >= this.whole; }
  get isFirst() { return this.from - this.start < this.whole * 1e-9; }
  get isLast() { return this.end - this.to < this.whole * 1e-9; }
  get isClosest() { return this.width <= this.least * 1.001; }
  // The moment at a share of the width, and the other way round.
  at(share) { return this.from + share * this.width; }
  share(at) { return (at - this.from) / this.width; }
  // As near to this stretch as there is one: inside the whole, and no closer than there is something to see.
  stretch(from, to) {
    const width = within(this.least, to - from, this.whole);
    if (width >= this.whole) return new Span(this.start, this.end);
    const first = within(this.start, (from + to - width) / 2, this.end - width);
    return new Span(this.start, this.end, first, Math.min(this.end, first + width));
  }
  // So many times as close, and what is at this moment stays where it is.
  zoomed(times, at = this.at(0.5)) {
    const width = within(this.least, this.width / times, this.whole);
    const from = at - this.share(at) * width;
    return this.stretch(from, from + width);
  }
  // By a share of the width, later or (below nought) earlier.
  moved(share) { return this.stretch(this.at(share), this.at(share + 1)); }
  // These moments at these shares of the width: under two fingers, or one.
  held([first, second]) {
    if (!second) return this.stretch(first.at - first.share * this.width, first.at + (1 - first.share) * this.width);
    const apart = second.share - first.share;
    const width = within(this.least, Math.abs(apart) < 0.001 ? this.whole : Math.abs((second.at - first.at) / apart), this.whole);
    const middle = (first.at + second.at) / 2 - ((first.share + second.share) / 2 - 0.5) * width;
    return this.stretch(middle - width / 2, middle + width / 2);
  }
  // This one if the moment is in it, else one as wide around it.
  around(at) { return at >= this.from && at <= this.to ? this : this.moved(this.share(at) - 0.5); }
  // Round moments, as axis.py has them for the whole, and fewer where there is no room for so many characters.
  ticks(room = Infinity) {
    const steps = STEPS.filter((step) => this.width / step <= MOST_TICKS);
    let best = [];
    for (const step of steps.length ? steps : [this.width / MOST_TICKS]) {
      const ticks = [];
      for (let count = Math.ceil(this.from / step - 1e-6); count <= Math.floor(this.to / step + 1e-6); count++) {
        ticks.push({ share: this.share(count * step), label: moment(count * step) });
      }
      if (best.length && ticks.length < 2) break;
      best = ticks;
      if (ticks.length * (Math.max(...ticks.map(({ label }) => label.length)) + 2) <= room) break;
    }
    return best;
  }
  toString() {
    const tenths = this.width < 10;
    const say = (at) => (Math.abs(at) < (tenths ? 0.05 : 0.5) ? "" : at < 0 ? MINUS : "+") + clock(Math.abs(at), tenths);
    return say(this.from) + " to " + say(this.to) + " of " + clock(this.whole, this.whole < 10);
  }
}
