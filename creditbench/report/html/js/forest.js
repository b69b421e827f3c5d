// Forest plot: each arm's difference to what it is judged against, with interval, p and what could be detected.
const FAMILY = { grpo: `vs ${D.reference}`, base: `vs ${D.base}`, view: "vs matched", placebo: "vs placebo" };

panels.push({ id: "differences", render() {
  const known = Object.keys(FAMILY).filter((f) => ((G().pairs[S.metric] || {})[f] || {})[S.est]?.length);
  const body = section("differences", "Differences",
    "Points of difference with 95 % intervals. Filled: significant after Holm’s correction within this figure. Hollow: not shown to differ, which is not the same as equal.",
    known.length > 1 ? segmented("Judged against", known.map((f) => [f, FAMILY[f]]), S.family, (f) => update({ family: f }, ["differences"])) : null);
  const rows = pairRows(S.family).filter((r) => inView(r.a) || S.family === "view").sort((a, b) => b.d - a.d);
  if (S.bench === "*") body.append(note(`Shown for ${G().benchmark}; choose a benchmark above for another one.`));
  if (!rows.length) return body.append(note("There is no pair of this kind in this suite."));
  const name = (r) => (S.family === "placebo" ? `${r.a} − ${r.b.slice(r.b.indexOf("+"))}` : r.a);
  const mdes = rows.map((r) => r.mde).filter(has).sort((a, b) => a - b);
  const mde = mdes.length ? 100 * mdes[Math.floor(mdes.length / 2)] : null;
  const data = rows.map((r) => ({ ...r, name: name(r), x: 100 * r.d, x1: 100 * r.lo, x2: 100 * r.hi, hue: verdictColour(r) }));
  figure(body, (width) => forest(data, width, mde),
    has(mde) ? `The shaded band is ±${mde.toFixed(1)} points: true differences inside it would be missed more than one time in five by these seeds (median over the pairs).` : null);
  body.append(numbers(["Arm", "against", "difference", "95 % interval", "p (Holm)", "p", "detectable", "test"],
    rows.map((r) => [r.a, r.b, delta(r.d), interval(r.lo, r.hi, delta), pText(r.holm), pText(r.p), pts(r.mde), r.test])));
} });

function forest(data, width, mde) {
  const wide = width > 620, left = Math.min(wide ? 170 : 118, 24 + 7.4 * Math.max(...data.map((r) => r.name.length)));
  const words = (r) => `${delta(r.d)}  (${interval(r.lo, r.hi, delta)})  ${pText(r.holm)}`;
  return plot({
    width, height: 44 + data.length * (wide ? 30 : 34), marginLeft: left, marginRight: wide ? 250 : 14, marginTop: 8, marginBottom: 36,
    x: { label: "points", nice: true, grid: true, labelAnchor: "center", labelArrow: "none", tickFormat: (t) => (t > 0 ? `+${t}` : signed(String(t))) },
    y: { domain: data.map((r) => r.name), label: null, tickSize: 0, tickFormat: (t) => (t.length * 7.4 > left - 20 ? `${t.slice(0, Math.floor((left - 26) / 7.4))}…` : t) },
    marks: [
      has(mde) ? Plot.rectX([0], { x1: -mde, x2: mde, fill: "var(--band)" }) : null,
      Plot.ruleX([0], { stroke: "var(--muted)" }),
      Plot.ruleY(data.filter((r) => has(r.lo)), { y: "name", x1: "x1", x2: "x2", stroke: "hue", strokeWidth: 2.5, strokeLinecap: "round" }),
      Plot.dot(data, { y: "name", x: "x", r: 5.5, stroke: "hue", strokeWidth: 2, fill: (r) => (isSignificant(r) ? r.hue : "var(--card)") }),
      wide ? Plot.text(data, { y: "name", frameAnchor: "right", textAnchor: "start", dx: 16, text: words, fill: "var(--ink)", fontVariant: "tabular-nums" }) : null,
      wide ? null : Plot.tip(data, Plot.pointer({ x: "x", y: "name", title: (r) => `${r.name}\n${words(r)}`, ...tip })),
    ],
    color: { type: "identity" },
  }, `Forest plot: ${data.map((r) => `${r.name} ${words(r)}`).join("; ")}`);
}
