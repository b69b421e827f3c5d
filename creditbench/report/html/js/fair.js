// Fair comparisons beyond the final score: equal length, the two views, equal steps and tokens; and what the data allow.
function plainTable(label, head, rows) {
  const kind = (i) => (i && !["Remark", "Against", "Training set", "Model"].includes(head[i]) ? "n" : head[i] === "Remark" ? "wrap" : "");
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    el("table", { class: "plain" }, el("thead", {}, el("tr", {}, head.map((h, i) => el("th", { scope: "col", class: kind(i) }, h)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(i ? "td" : "th", i ? { class: kind(i) } : { scope: "row" }, cell)))))));
}

const named = (arm) => [swatch(arm), " ", arm];
const spread = (d, lo, hi, p) => (has(d) ? `${delta(d)} (${interval(lo, hi, delta)}), ${pText(p)}` : "–");

panels.push({ id: "length", render() {
  const body = section("length", "At equal length",
    `The difference that is left where both arms write equally long: per problem, the accuracy difference is regressed on the log length difference. A description, not a cause. Accuracy only.`);
  const rows = (((G().length || {})[S.family] || {})[S.est] || []).map(([a, b, d, at, lo, hi, holm, slope, ratio, why]) => ({ a, b, d, at, lo, hi, holm, slope, ratio, why })).filter((r) => inView(r.a) || S.family === "view");
  if (S.bench === "*") body.append(note(`Shown for ${G().benchmark}; choose a benchmark above for another one.`));
  if (!rows.length) return body.append(note("There is no pair of this kind in this suite."));
  body.append(plainTable("Differences at equal length", ["Arm", "Against", "As measured", "At equal length", "Length ratio", "Per doubling of length", "Remark"],
    [...rows].sort((x, y) => (has(y.at) ? y.at : y.d) - (has(x.at) ? x.at : x.d)).map((r) => [named(r.a), r.b, delta(r.d), spread(r.at, r.lo, r.hi, r.holm), has(r.ratio) ? r.ratio.toFixed(2) : "–",
      has(r.slope) ? delta(Math.LN2 * r.slope) : "–", r.why || ""])));
  body.append(el("p", { class: "caption" }, `The family is the one chosen under Differences (${FAMILY[S.family] || S.family}).`));
} });

panels.push({ id: "views", render() {
  const body = section("views", "Two views, and equal effort",
    "As published: each method with its own clip, aggregation, sampling and reward shaping. Matched: those are the reference’s, only the credit differs. Ranks and p are computed inside each view.");
  const rows = G().views.map(([view, method, arm, score, lo, hi, r0, r1, d, dlo, dhi, holm]) => ({ view, method, arm, score, lo, hi, rank: [r0, r1], d, dlo, dhi, holm }));
  if (!rows.length) body.append(note("This suite lists no @matched arm; listing one (such as sc_grpo@matched) fills this table."));
  else {
    const find = (view, method) => rows.find((r) => r.view === view && r.method === method);
    const shown = [...new Set(rows.filter((r) => r.view === "matched").map((r) => r.method))];
    const cells = (r) => (r ? [`${pts(r.score)} (${interval(r.lo, r.hi)})`, rankText(r.rank), r.arm === D.reference || r.method === D.reference ? "reference" : spread(r.d, r.dlo, r.dhi, r.holm)] : ["–", "–", "–"]);
    body.append(plainTable("As published and matched, side by side",
      ["Method", "As published", "Rank", `vs ${D.reference}`, "Matched", "Rank", `vs ${D.reference}`],
      shown.map((method) => [method, ...cells(find("as-published", method)), ...cells(find("matched", method))])));
    const own = pairRows("view");
    if (own.length) body.append(el("ul", { class: "verdicts" }, own.map((r) => el("li", {}, el("b", {}, r.a), ` minus ${r.b}: ${delta(r.d)} points (${interval(r.lo, r.hi, delta)}), ${pText(r.holm)}; detectable ${pts(r.mde)}`))));
  }
  const equal = trackOf().equal.map(([arm, kind, at, y, lo, hi, d, dlo, dhi, holm, step, tokens]) => ({ arm, kind, at, y, lo, hi, d, dlo, dhi, holm, step, tokens }));
  body.append(el("h3", {}, "Equal steps and equal generated tokens"));
  if (!equal.length) return body.append(note("Fewer than two arms of this track have left a curve."));
  const at = (kind) => equal.find((r) => r.kind === kind).at;
  const of = (arm, kind) => equal.find((r) => r.arm === arm && r.kind === kind);
  const arms = [...new Set(equal.map((r) => r.arm))].filter((arm) => D.arms[arm] && inView(arm)).sort((x, y) => (of(y, "tokens") || { y: -1 }).y - (of(x, "tokens") || { y: -1 }).y);
  const pair = (r) => (r ? [`${pts(r.y)} (${interval(r.lo, r.hi)})`, r.arm === D.reference ? "reference" : spread(r.d, r.dlo, r.dhi, r.holm)] : ["–", "–"]);
  body.append(plainTable("Training accuracy at equal steps and tokens",
    ["Arm", `After ${count(at("steps"))} steps`, `vs ${D.reference}`, `After ${count(at("tokens"))} tokens`, `vs ${D.reference}`, "Step then"],
    arms.map((arm) => [named(arm), ...pair(of(arm, "steps")), ...pair(of(arm, "tokens")), of(arm, "tokens") ? fixed(of(arm, "tokens").step) : "–"])));
  body.append(el("p", { class: "caption" }, "Share of correct training rollouts, mean over the last tenth of a run’s steps, read at the most that every run reached: training problems, not the test, because only the last checkpoint is evaluated."));
} });

panels.push({ id: "data", render() {
  const body = section("data", "Data and spread", "What the models could have seen of the test, and where the spread of the scores comes from.");
  const rows = D.contamination.filter((r) => r.track === S.track);
  if (rows.length) body.append(plainTable("Contamination", ["Benchmark", "Training set", "Dropped / with 8-gram / of", "Same text", "Model", "Problems dated", "Before / after release", "Remark"],
    rows.map((r) => [r.benchmark, r.training_set, has(r.n_train) ? `${r.dropped} / ${r.with_8gram} / ${r.n_train}` : "–", has(r.same_text) ? String(r.same_text) : "–",
      r.model ? `${r.model}${r.model_released ? `, ${r.model_released}` : ""}` : "–", r.first ? `${r.first} to ${r.last}` : "–", has(r.n_after) ? `${r.n_before} / ${r.n_after} (${r.window})` : "–", r.note || ""])));
  else body.append(note("Which data the model could have seen is checked by the workflow; this page was made without it."));
  body.append(el("h3", {}, `Standard deviations, points, ${G().headline}`), plainTable("Where the spread comes from", ["Arm", "Seed", "Problem", "Seed × problem", "One sample"],
    G().spread.map(([arm, ...sds]) => [named(arm), ...sds.map(pts)])));
} });
