// Accuracy against what a training run costs, in counted units (never in seconds).
const COSTS = {
  generated_tokens: "Generated tokens", trained_tokens: "Trained tokens", flops: "FLOPs", extra_forwards: "Extra forward passes",
  forward_tokens: "Extra forward tokens",
};

// What all training runs behind the track's table took together; times are of the machines that ran them.
function spentText() {
  const all = trackOf().spent[""];
  if (!all) return "";
  const parts = [["prompt_tokens", "prompt tokens"], ["generated_tokens", "generated"], ["env_tokens", "of environments"],
    ["trained_tokens", "trained"], ["extra_forwards", "extra passes"], ["flops", "FLOPs"]];
  const told = parts.filter(([name]) => all[name] > 0).map(([name, what]) => `${count(all[name])} ${what}`);
  const hours = (value) => Number(value.toPrecision(3));
  const timed = `${hours(all.wall_seconds / 3600)} hours, ${hours(all.gpu_hours)} GPU-hours`;
  return `The ${plural(all.n_runs, "training run")} of this table together: ${[...told, timed].join(", ")}.`;
}

panels.push({ id: "cost", render() {
  const costs = trackOf().costs, known = Object.keys(COSTS).filter((name) => Object.values(costs).some((c) => c[name] > 0));
  if (known.length && !known.includes(S.costX)) S.costX = known[0];
  const body = section("cost", "Accuracy and cost", "Mean of one training run of each arm, counted and therefore the same on every machine. Up and left is better.",
    known.length ? dropdown("Cost", known.map((n) => [n, COSTS[n]]), S.costX, (costX) => update({ costX }, ["cost"])) : null);
  if (!known.length) return body.append(note("No training run of this track has left a cost record."));
  body.append(chips());
  const rows = ranking().map((r) => ({ ...r, cost: (costs[r.arm] || {})[S.costX], y: 100 * r.score, y1: 100 * r.lo, y2: 100 * r.hi }));
  const shown = rows.filter((r) => has(r.cost) && visible(r.arm)), base = rows.find((r) => r.arm === D.base);
  if (!shown.length) return body.append(note("Choose an arm above."));
  figure(body, (width) => costPlot(shown, base, width));
  body.append(numbers(["Arm", "score", "95 % interval", ...known.map((n) => COSTS[n])],
    rows.map((r) => [r.arm, pts(r.score), interval(r.lo, r.hi), ...known.map((n) => count((costs[r.arm] || {})[n]))])));
  body.append(el("p", { class: "quiet" }, spentText()));
} });

function costPlot(rows, base, width) {
  const height = Math.min(440, Math.max(300, width * 0.5)), xs = rows.map((r) => r.cost), positive = Math.min(...xs) > 0;
  const log = positive && Math.max(...xs) / Math.min(...xs) > 4;
  const low = Math.min(...xs), high = Math.max(...xs), room = high - low || high || 1;
  const domain = log ? [low / 1.25, high * (width > 560 ? 1.5 : 1.9)] : [Math.max(0, low - 0.12 * room), high + (width > 560 ? 0.2 : 0.45) * room];
  const ys = rows.flatMap((r) => [r.y1, r.y2, r.y]).filter((v) => Number.isFinite(v));
  const bottom = Math.max(0, Math.min(...ys, base ? 100 * base.score : 100) - 3), top = Math.min(100, Math.max(...ys) + 3);
  const places = apart(rows, (r) => -r.y, (14.5 / (height - 48)) * (top - bottom));
  return plot({
    width, height, marginLeft: 40, marginRight: 12, marginTop: 10, marginBottom: 38, color: { type: "identity" },
    x: { type: log ? "log" : "linear", domain, label: COSTS[S.costX].toLowerCase(), labelAnchor: "center", labelArrow: "none", tickFormat: "~s", ticks: width > 560 ? 7 : 4, grid: true },
    y: { domain: [bottom, top], label: null, grid: true, ticks: 6 },
    marks: [
      base ? Plot.ruleY([100 * base.score], { stroke: "var(--base)", strokeDasharray: "5 4" }) : null,
      base ? Plot.text([`${D.base} ${pts(base.score)}`], { x: [domain[0]], y: [100 * base.score], dx: 4, dy: -7, textAnchor: "start", fill: "var(--muted)" }) : null,
      Plot.ruleX(rows.filter((r) => has(r.lo)), { x: "cost", y1: "y1", y2: "y2", stroke: (r) => colour(r.arm), strokeOpacity: 0.45, strokeWidth: 2 }),
      Plot.dot(rows, { x: "cost", y: "y", r: 5.5, fill: (r) => colour(r.arm), stroke: "var(--card)", strokeWidth: 1.5 }),
      Plot.link(rows.filter((r) => Math.abs(places.get(r) + r.y) > (7 / (height - 48)) * (top - bottom)), { x1: "cost", x2: "cost", y1: "y", y2: (r) => -places.get(r), dx: 6, stroke: "var(--line)" }),
      Plot.text(rows, { x: "cost", y: (r) => -places.get(r), dx: 10, textAnchor: "start", text: "arm", fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 3 }),
    ],
  }, `Score against ${COSTS[S.costX]}`);
}
