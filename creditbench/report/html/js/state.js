// What is shown: one state, kept in the address (after #) so that a view or a single sample can be linked to.
const ESTIMAND = {
  superpopulation: ["New problems", "The claim is about new problems of this kind and new training seeds."],
  fixed_set: ["These problems", "The claim is about these very problems under new training seeds."],
};
const KINDS = [["base", "base"], ["method", "methods"], ["variant", "variants"], ["placebo", "placebos"]];
const groupsOf = (track) => D.tracks.find((t) => t.name === track).benchmarks;

const S = {
  track: "",
  bench: "", metric: "", est: D.estimands.includes("superpopulation") ? "superpopulation" : D.estimands[0],
  family: "grpo", sort: "score", desc: true, filter: "", kinds: new Set(KINDS.map(([kind]) => kind)),
  curve: "correct", x: "step", smooth: 7, layout: "each", costX: "generated_tokens", order: "difficulty",
  hidden: new Set(Object.keys(D.arms).filter((arm) => D.arms[arm].kind === "placebo")),
  sample: null, other: "", view: "all",
};
const SHORT = { view: "v", track: "t", bench: "b", metric: "m", est: "e", family: "f", sort: "o" };
const panels = [];

function readAddress() {
  const at = new URLSearchParams(location.hash.slice(1));
  for (const [name, key] of Object.entries(SHORT)) if (at.has(key)) S[name] = at.get(key);
  if (at.has("d")) S.desc = at.get("d") === "1";
  const parts = (at.get("s") || "").split("/");
  if (parts.length === 4) S.sample = { arm: parts[0], seed: +parts[1], problem: +parts[2], sample: +parts[3] };
}

function writeAddress() {
  const at = new URLSearchParams();
  for (const [name, key] of Object.entries(SHORT)) at.set(key, S[name]);
  at.set("d", S.desc ? "1" : "0");
  if (S.sample) at.set("s", `${S.sample.arm}/${S.sample.seed}/${S.sample.problem}/${S.sample.sample}`);
  try {
    history.replaceState(null, "", `#${at}`);
  } catch (error) {
    // A sandboxed frame may forbid it; the page works without.
  }
}

// The page opens on the track with the most arms.
function mostArms() {
  const arms = (track) => Math.max(...track.benchmarks.map((b) => Object.keys(D.groups[`${track.name}/${b}`].seeds).length));
  return [...D.tracks].sort((a, b) => arms(b) - arms(a))[0].name;
}

// Put impossible combinations right: an address may come from another suite.
function settle() {
  if (!D.tracks.some((t) => t.name === S.track)) S.track = mostArms();
  const names = groupsOf(S.track);
  if (!names.includes(S.bench) && !(S.bench === "*" && names.length > 1)) S.bench = names.length > 1 ? "*" : names[0];
  if (!D.estimands.includes(S.est)) S.est = D.estimands[0];
  const group = G();
  if (!group.metrics.includes(S.metric)) S.metric = group.headline;
  if (!hasViews() || !VIEWS.some(([key]) => key === S.view)) S.view = "all";
  const families = Object.keys(group.pairs[S.metric] || {});
  if (!families.includes(S.family)) S.family = families.includes("grpo") ? "grpo" : "base";
  const s = S.sample;
  const fits = s && group.seeds[s.arm] && group.seeds[s.arm].includes(s.seed) && s.problem < group.n && s.sample < group.k;
  if (!fits) S.sample = null;
}

// Two views of every comparison, where the suite has `@matched` arms: `inView` says which arms belong to the chosen one.
const VIEWS = [["all", "all arms"], ["as-published", "as published"], ["matched", "matched"]];
const hasViews = () => groupsOf(S.track).some((name) => D.groups[`${S.track}/${name}`].views.length);
function inView(arm) {
  if (S.view === "all") return true;
  const plain = arm.split("+")[0], variant = plain.split("@")[1] || "";
  if (plain === D.base || plain === D.reference) return true;
  return S.view === "matched" ? variant === "matched" : variant === "";
}

const G = () => D.groups[`${S.track}/${S.bench === "*" ? groupsOf(S.track)[0] : S.bench}`];
const trackOf = () => D.tracks.find((t) => t.name === S.track);
const ranking = () => (S.bench === "*" ? trackOf().overall[S.est] : G().ranks[S.metric][S.est]);

function pairRows(family, metric = S.metric) {
  const rows = ((G().pairs[metric] || {})[family] || {})[S.est] || [];
  return rows.map(([a, b, d, lo, hi, p, holm, mde, test, why]) => ({ a, b, d, lo, hi, p, holm, mde, test, why }));
}

function update(patch, only = null) {
  Object.assign(S, patch);
  settle();
  writeAddress();
  for (const panel of panels) if (!only || only.includes(panel.id)) panel.render();
}

// Arms keep their colour whatever is shown; placebos and variants wear their method's colour, dashed.
const COLOURS = 9;
const methods = [...new Set(Object.values(D.arms).map((a) => a.method))].filter((m) => m !== D.base && m !== D.reference);
function colour(arm) {
  const method = D.arms[arm].method;
  if (method === D.base) return "var(--base)";
  if (method === D.reference) return "var(--ink)";
  return `var(--c${methods.indexOf(method) % COLOURS})`;
}
const dash = (arm) => (D.arms[arm].kind === "placebo" ? "3 3" : D.arms[arm].kind === "variant" ? "7 3" : null);
const isSignificant = (row) => has(row.holm) && row.holm < 0.05;
const verdictColour = (row) => (!isSignificant(row) ? "var(--flat)" : row.d > 0 ? "var(--up)" : "var(--down)");
const visible = (arm) => !S.hidden.has(arm);
const armList = () => Object.keys(G().seeds).sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
const order = (arm) => (arm === D.base ? 0 : arm === D.reference ? 1 : D.arms[arm].kind === "placebo" ? 3 : 2);

function swatch(arm) {
  return svg("svg", { class: "swatch", viewBox: "0 0 18 10", "aria-hidden": "true" },
    svg("line", { x1: 1, x2: 17, y1: 5, y2: 5, stroke: colour(arm), "stroke-width": 3, "stroke-dasharray": dash(arm) || "none" }));
}

// Chips that show or hide arms in the figures that draw many arms at once.
function chips() {
  return el("div", { class: "chips", role: "group", "aria-label": "Arms shown in the curves" },
    armList().map((arm) => el("button", {
      type: "button", class: "chip", "aria-pressed": String(visible(arm)), "data-arm": arm,
      onclick: (event) => {
        if (S.hidden.has(arm)) S.hidden.delete(arm); else S.hidden.add(arm);
        const place = event.currentTarget.closest("section").id;
        update({}, ["learning", "budget", "cost"]);
        const again = document.querySelector(`#${place} .chip[data-arm="${CSS.escape(arm)}"]`);
        if (again) again.focus();
      },
    }, swatch(arm), arm)));
}
