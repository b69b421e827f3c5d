// Controls, summary, notes, colours, and the first drawing.
panels.unshift({ id: "controls", render() {
  const names = groupsOf(S.track), group = G(), host = $("#controls");
  const focus = host.contains(document.activeElement) ? document.activeElement.closest("#controls > *") : null;
  const nth = focus ? [...host.children].indexOf(focus) : -1;
  host.replaceChildren(...[
    segmented("Track", D.tracks.map((t) => [t.name, t.name]), S.track, (track) => update({ track, bench: "", metric: "", sample: null }), "main"),
    dropdown("Benchmark", [...(names.length > 1 ? [["*", "all together"]] : []), ...names.map((n) => [n, n])], S.bench, (bench) => update({ bench, metric: "", sample: null })),
    segmented("Metric", group.metrics.map((m) => [m, m]), S.metric, (metric) => update({ metric })),
    hasViews() ? segmented("View", VIEWS, S.view, (view) => update({ view })) : null,
    segmented("Claim about", D.estimands.slice().reverse().map((e) => [e, ...(ESTIMAND[e] || [e, e])]), S.est, (est) => update({ est }))].filter(Boolean));
  $("#claim").textContent = (ESTIMAND[S.est] || ["", ""])[1];
  if (nth >= 0) { const input = host.children[nth].querySelector("input:checked, select"); if (input) input.focus(); }
} }, { id: "summary", render() {
  const rows = ranking(), group = G(), track = trackOf(), host = $("#summary");
  const tops = rows.filter((r) => r.rank[0] === 1), best = rows[0];
  const tested = rows.filter((r) => has(r.lo) && r.arm !== D.base).length > 0;
  const mdes = pairRows("grpo").map((r) => r.mde).filter(has).sort((a, b) => a - b);
  const card = (label, value, more) => el("div", { class: "card" }, el("span", { class: "label" }, label), el("b", {}, value), el("span", { class: "quiet" }, more));
  const seeds = [...new Set(Object.entries(group.seeds).filter(([arm]) => arm !== D.base).map(([, s]) => s.length))];
  host.replaceChildren(
    el("h1", { id: "h-summary" }, `Track ${S.track}`),
    el("div", { class: "cards" },
      card("Highest score", best ? best.arm : "–", best ? `${pts(best.score)} points, ${interval(best.lo, best.hi)}` : ""),
      card("Can be first", plural(tops.length, "arm"), !tested ? "no test: fewer than 3 seeds" : tops.length > 1 ? "not told apart from the best" : "ahead of every other arm"),
      card("Detectable", mdes.length ? `${pts(mdes[Math.floor(mdes.length / 2)])} points` : "–", mdes.length ? `true difference to ${D.reference} found 4 times in 5` : "needs 3 seeds per arm"),
      card("Evidence", `${plural(Object.keys(group.seeds).length, "arm")} × ${seeds.length === 1 ? plural(seeds[0], "seed") : `${seeds.sort((a, b) => a - b).join(" or ")} seeds`}`, `${group.n} problems × ${group.k} samples each`)),
    track.aids.length ? el("div", { class: "aids" }, el("h2", {}, "How to read it"), el("ul", {}, track.aids.map((text) => el("li", {}, marked(text)))),
      el("p", { class: "quiet" }, "Computed from the tables: ranks speak about new problems, differences about these problems.")) : null);
} });

// `name` in a computed sentence becomes code; everything stays text.
function marked(text) {
  return text.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part));
}

panels.push({ id: "notes", render() {
  const parts = [["Blocked", D.blocked], ["Footnotes", D.footnotes], ["Left out", D.left_out]].filter(([, lines]) => lines.length);
  if (!parts.length) return $("#notes").replaceChildren();
  const body = section("notes", "Notes", "What the guard kept apart, and why.");
  for (const [title, lines] of parts) body.append(el("h3", {}, title), el("ul", {}, lines.map((line) => el("li", {}, line))));
} });

function themes() {
  const stored = (() => { try { return localStorage.getItem("creditbench-theme"); } catch (error) { return null; } })();
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("creditbench-theme", theme); } catch (error) { /* a file opened in private mode */ }
    for (const paint of repaint) paint();
  };
  const now = stored === "light" || stored === "dark" ? stored : "auto";
  $("#theme").replaceWith(segmented("Colours", [["auto", "auto"], ["light", "light"], ["dark", "dark"]], now, apply, "theme"));
  apply(now);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const paint of repaint) paint(); });
}

const SECTIONS = [["leaderboard", "Leaderboard"], ["differences", "Differences"], ["pairs", "Every pair"], ["learning", "Learning"], ["budget", "Budgets"], ["length", "Equal length"], ["cost", "Cost"],
  ["views", "Two views"], ["placebos", "Placebos"], ["papers", "Papers"], ["data", "Data"], ["problems", "Problems"], ["samples", "Samples"]];

function contents() {
  $("#toc").replaceChildren(...SECTIONS.map(([id, text]) => el("li", {}, el("a", { href: `#${id}`, "data-to": id, onclick: (e) => {
    e.preventDefault();
    document.getElementById(id).scrollIntoView({ block: "start" });
    $(`#h-${id}`).focus({ preventScroll: true });
  } }, text))));
  const links = new Map([...document.querySelectorAll("#toc a")].map((a) => [a.dataset.to, a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const [id] of SECTIONS) seen.observe(document.getElementById(id));
}

function start() {
  $("#app").hidden = false;
  themes();
  if (!D.tracks.length) {
    $("#toc").replaceChildren();
    section("leaderboard", "No table yet", "There is no complete result that passes the guard.");
    return panels.find((p) => p.id === "notes").render();
  }
  readAddress();
  update({});
  contents();
  if (S.sample) openSample(S.sample);
  document.documentElement.dataset.ready = "true";
}

start();
