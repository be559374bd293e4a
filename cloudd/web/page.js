// The operators' page.  It asks the host for its state again and again, is told of upgrades at once by an event
// stream, and shows what it knows.  Whatever comes from the host is put in as text, never as markup.

const LIVE_MS = 5000; // between two looks, when upgrades are told of by themselves
const QUIET_MS = 2000; // and when they are not
const UPGRADE_MS = 400; // while code is replaced
const HIDDEN_MS = 20000; // while nobody looks
const RATES_MS = 4800; // the host takes a sample every 5 s
const AUDIT_MS = 5000; // while no event stream tells of upgrades
const SLOW_MS = 60000;
const ANSWER_MS = 8000; // longest wait for one answer
const PLAN_ANSWER_MS = 40000;
const STALE_MS = 8000; // from when on a lack of answers is told
const STREAM_MS = 6000; // and a lack of the event stream
const SVG = "http://www.w3.org/2000/svg";

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

const $ = (id) => document.getElementById(id);

class Refused extends Error {
  constructor(status, cause) {
    super(cause);
    this.status = status;
  }
}

// --- asking the host ---

async function ask(path, { body, patience = ANSWER_MS } = {}) {
  const answer = await fetch(`/ui/api/${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(patience),
  });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  let cause = `The host answered ${answer.status}.`;
  try {
    cause = (await answer.json()).cause || cause;
  } catch {
    // an answer of a proxy between: its status says enough
  }
  throw new Refused(answer.status, cause);
}

// --- making elements ---

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const shownFacts = new WeakMap();

// Build the content of a node only when its facts have changed: nothing flickers, scroll positions and focus stay.
function show(node, facts, build) {
  const key = JSON.stringify(facts);
  if (shownFacts.get(node) === key) return;
  shownFacts.set(node, key);
  node.replaceChildren(...build());
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function announce(text) {
  $("announcer").textContent = text;
}

// --- words ---

function count(number, one, many) {
  return `${whole.format(number)} ${number === 1 ? one : many}`;
}

function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function when(seconds) {
  const date = new Date(seconds * 1000);
  return make("time", { datetime: date.toISOString(), title: date.toString() }, dated.format(date));
}

function brief(hash) {
  return hash ? make("code", { title: hash }, hash.slice(0, 12)) : "–";
}

// What the host says in words begins and ends as a sentence here; a name at its beginning stays as it is.
function sentence(text) {
  const begun = /^[a-z]+(?=[\s,:;])/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${short.format(value)} ms` : `${short.format(value / 1000)} s`;
}

const RESULTS = {
  committed: ["good", "committed"],
  unchanged: ["", "unchanged"],
  refused: ["warn", "refused"],
  busy: ["warn", "busy"],
  failed: ["bad", "failed"],
  "rolled back": ["bad", "rolled back"],
};

function tag(kind, text) {
  return make("span", { class: `tag ${kind}`.trim() }, text);
}

function resultTag(result) {
  const [kind, text] = RESULTS[result] || ["", result];
  return tag(kind, text);
}

// --- what is known ---

const known = { status: null, health: null, rates: null, audit: null, plan: null, session: null, rolling: null };
let offset_s = 0; // the host's clock minus ours
let lastAnswer = 0;
let answersLost = 0;
let lastHealth = 0;
let healthLost = 0;
let stream = null;
let timer = null;
let round = 0;
let looking = false;
let lookAgain = false;
let upgradeEnded = false;
let lastLive = 0;
let lastRates = 0;
let lastAudit = 0;
let upgradeSeen = "";
let lastVerdict = null;
let firstVersion = null;

const now_s = () => Date.now() / 1000 + offset_s;

// --- the answer ---

function failingParts() {
  const parts = known.health ? Object.entries(known.health.parts) : [];
  return parts.filter(([, part]) => part.status !== "ok");
}

function showAnswer() {
  if (!known.health) return;
  if (isLost()) {
    const since = clock.format(new Date(lastHealth));
    $("answer").dataset.state = "unknown";
    answer("The host does not answer", `Not since ${since}. Trying again; what is shown below was true then.`);
    document.title = "? no answer · cloudd";
    return;
  }
  const failing = failingParts();
  const bad = failing.length > 0 || known.health.status !== "ok";
  let verdict = "Production is healthy";
  if (bad) {
    verdict = failing.length === 1 ? `1 part is failing: ${failing[0][0]}` : `${failing.length} parts are failing`;
    if (!failing.length) verdict = `Production is ${known.health.status}`;
  }
  $("answer").dataset.state = bad ? "failing" : "ok";
  const cause = (part) => sentence(part.cause || "it does not say why: see the daemon's log");
  const causes = failing.flatMap(([name, part], at) => [...(at ? [make("br")] : []), make("b", {}, `${name}: `), cause(part)]);
  answer(verdict, ...(failing.length === 1 ? [cause(failing[0][1])] : causes));
  document.title = bad ? `✕ ${count(failing.length, "part", "parts")} failing · cloudd` : "✓ healthy · cloudd";
}

function answer(verdict, ...causes) {
  say($("verdict"), verdict);
  show($("causes"), causes.map((one) => one.textContent ?? one), () => causes);
  if (lastVerdict !== null && lastVerdict !== verdict) announce(verdict);
  lastVerdict = verdict;
}

function showFigures() {
  const { status, rates } = known;
  if (status) {
    const generations = status.workers.flatMap((worker) => worker.generations);
    const sum = (name) => generations.reduce((total, generation) => total + generation[name], 0);
    say($("figure-generation"), whole.format(status.code.generation));
    say($("figure-connections"), whole.format(sum("connections")));
    say($("figure-uptime"), span(now_s() - status.started_at));
    say($("version"), status.version);
  }
  if (rates) {
    const last = rates.samples.at(-1);
    const errors = rates.samples.reduce((total, sample) => total + sample.all.errors, 0);
    say($("figure-requests"), last ? short.format(last.all.requests / last.seconds) : "–");
    say($("figure-errors"), rates.samples.length ? whole.format(errors) : "–");
  }
}

function showParts() {
  if (!known.health) return;
  const parts = Object.entries(known.health.parts).sort(
    ([a, one], [b, other]) => (one.status === "ok") - (other.status === "ok") || a.localeCompare(b),
  );
  show($("parts"), parts, () =>
    parts.map(([name, part]) => {
      const ok = part.status === "ok";
      return make(
        "li",
        { class: ok ? "ok" : "failing" },
        make("span", { class: "mark", "aria-hidden": "true" }, ok ? "✓" : "✕"),
        make("span", { class: "name" }, name),
        make("span", { class: "state" }, ok ? "healthy" : part.status),
        part.cause ? make("span", { class: "cause" }, sentence(part.cause)) : null,
      );
    }),
  );
}

// --- workers and generations ---

function showWorkers() {
  const { workers, code } = known.status;
  const numbers = [...new Set(workers.flatMap((worker) => worker.generations.map((one) => one.number)))];
  numbers.sort((a, b) => b - a);
  const facts = workers.map((worker) => [
    worker.name, worker.role, worker.pid, worker.ready, worker.restarts,
    worker.generations.map((one) => [one.number, one.state, one.hash, one.connections, one.requests_running]),
  ]);
  show($("workers"), [facts, numbers, code.generation], () => {
    const find = (worker, number) => worker.generations.find((one) => one.number === number);
    const states = new Map(workers.flatMap((worker) => worker.generations.map((one) => [one.number, one])));
    const head = numbers.map((number) => {
      const one = states.get(number);
      const kind = { serving: "good", loaded: "accent", ending: "warn" }[one.state] || "";
      return make("th", { scope: "col", class: "number" }, `Generation ${number} `, tag(kind, one.state),
        make("span", { class: "small mono", title: one.hash }, one.hash.slice(0, 12)));
    });
    const cells = (worker) =>
      numbers.map((number) => {
        const one = find(worker, number);
        if (!one) return make("td", { class: "number muted" }, "–");
        return make("td", { class: "number" }, count(one.connections, "connection", "connections"),
          make("span", { class: "small" }, `${count(one.requests_running, "request", "requests")} running`));
      });
    const total = (number, name) =>
      workers.reduce((sum, worker) => sum + (find(worker, number)?.[name] || 0), 0);
    return [
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Worker"), ...head)),
      make("tbody", {}, ...workers.map((worker) =>
        make("tr", {},
          make("th", { scope: "row" }, worker.name, " ", worker.ready ? tag("good", "ready") : tag("bad", "not ready"),
            make("span", { class: "small" }, `${worker.role}, PID ${worker.pid}`),
            worker.restarts ? make("span", { class: "small" }, count(worker.restarts, "restart", "restarts")) : null),
          ...cells(worker)))),
      make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, "All"),
        ...numbers.map((number) => make("td", { class: "number" },
          count(total(number, "connections"), "connection", "connections"),
          make("span", { class: "small" }, `${count(total(number, "requests_running"), "request", "requests")} running`))))),
    ];
  });
  const held = workers.flatMap((worker) =>
    worker.generations.filter((one) => one.holders.length)
      .map((one) => `Generation ${one.number} in ${worker.name} is over but still in memory, held by ${one.holders.join(", ")}.`));
  show($("holders"), held, () => held.map((text) => make("li", {}, text)));
}

// --- upgrade ---

// A hand-over has other steps than a swap; one that this page has never heard of is shown, too.
function stepsOf(all, current) {
  if (current === "check") handsOver = known.plan?.kind === "hand-over";
  if (ONLY_HAND_OVER.includes(current)) handsOver = true;
  if (ONLY_SWAP.includes(current)) handsOver = false;
  const others = handsOver ? ONLY_SWAP : ONLY_HAND_OVER;
  const steps = all.filter((step) => !others.includes(step));
  return !current || steps.includes(current) ? steps : [...steps, current];
}

function showProgress() {
  const { upgrade, page } = known.status;
  const running = upgrade !== null;
  $("progress").dataset.running = running ? "yes" : "no";
  const text = running ? sentence(upgrade.text).replace(/\.$/, "") : "No upgrade is running.";
  const counted = running && upgrade.total > 1 && upgrade.done ? ` (${whole.format(upgrade.done)} of ${whole.format(upgrade.total)})` : "";
  say($("progress-text"), text + counted);
  const key = JSON.stringify(upgrade);
  if (key !== progressSeen.key) progressSeen = { key, at: Date.now() };
  say($("elapsed"), running ? `${Math.floor(upgrade.elapsed_s + (Date.now() - progressSeen.at) / 1000)} s` : "");
  const steps = stepsOf(page.steps, running ? upgrade.step : "");
  const at = running ? steps.indexOf(upgrade.step) : -1;
  show($("steps"), [steps, at], () =>
    steps.map((name, index) =>
      make("li", { class: index < at ? "done" : index === at ? "now" : "", "aria-current": index === at ? "step" : undefined }, name)));
  const seen = running ? upgrade.step : "";
  if (running && seen !== upgradeSeen) announce(`Upgrade: ${upgrade.text}`);
  upgradeSeen = seen;
}

function showLast() {
  const entry = known.audit?.entries.findLast((one) => !["start", "migrate"].includes(one.action));
  const code = known.status?.code;
  show($("last"), [entry, known.audit === null], () => {
    if (!entry) return [make("p", { class: "muted" }, known.audit ? "No upgrade is in the log yet." : "–")];
    const action = entry.action === "rollback" ? "Rollback" : "Upgrade";
    return [
      make("p", {}, `${action} by ${entry.who.user} `, resultTag(entry.result)),
      make("p", { class: "muted" }, when(entry.time), `, took ${short.format(entry.duration_s)} s`,
        entry.result === "committed" ? `; generation ${entry.generation} took over` : ""),
      entry.cause ? make("p", {}, sentence(entry.cause)) : null,
      entry.canary ? make("p", {}, `Canary: ${sentence(entry.canary)}`) : null,
      entry.rollback_s ? make("p", {}, `Back on the old code in ${short.format(entry.rollback_s)} s.`) : null,
      entry.result === "committed" && code?.previous_hash
        ? make("code", { class: "command", tabindex: "0" }, "cloudctl rollback")
        : null,
    ].filter(Boolean);
  });
}

const ONLY_HAND_OVER = ["rehearse", "move", "supervise"];
const ONLY_SWAP = ["canary"];
let handsOver = false;
let progressSeen = { key: "", at: 0 };

const PLANS = {
  nothing: ["", "nothing to do"],
  swap: ["accent", "swap"],
  "hand-over": ["warn", "hand-over"],
  refused: ["bad", "refused"],
};

function showPlan() {
  const plan = known.plan;
  if (!plan) return;
  show($("plan"), plan, () => {
    const [kind, word] = PLANS[plan.kind] || ["", plan.kind];
    const modules = (title, names) =>
      names.length ? [make("p", {}, title), make("ul", { class: "modules" }, ...names.map((name) => make("li", {}, name)))] : [];
    const text = {
      nothing: "The start tree holds the code that runs.",
      swap: `${count(plan.swappable.length, "module", "modules")} would become generation ${plan.generation}.`,
      "hand-over": `New processes would take over as generation ${plan.generation}.`,
    }[plan.kind];
    const more = [text && plan.cause, plan.reason, plan.canary].filter(Boolean);
    return [
      make("p", {}, tag(kind, word), " ", text || sentence(plan.cause)),
      ...[...new Set(more)].map((words) => make("p", {}, sentence(words))),
      ...modules("Swapped:", plan.swappable),
      ...modules("Kernel, which lives as long as its process:", plan.kernel),
      ...(plan.not_exported?.length
        ? [make("details", {}, make("summary", {}, "What connections cannot take along"),
            make("ul", { class: "sentences" }, ...plan.not_exported.map((words) => make("li", {}, sentence(words)))))]
        : []),
      ...plan.warnings.map((warning) => make("p", {}, tag("warn", "warning"), " ", sentence(warning))),
      ...(["swap", "hand-over"].includes(plan.kind) ? [make("code", { class: "command", tabindex: "0" }, "cloudctl upgrade")] : []),
    ];
  });
}

function showCode() {
  const { code } = known.status;
  show($("code"), code, () => {
    const facts = [
      ["Generation", whole.format(code.generation)],
      ["Hash", brief(code.hash)],
      ["Since", when(code.since)],
      ["Start tree", make("code", {}, code.start_tree)],
      ["Before", brief(code.previous_hash)],
    ];
    if (code.previous_warning) facts.push(["Note", code.previous_warning]);
    return facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  });
}

// --- charts ---

const WIDE = 300;
const HIGH = 100;

function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

// Lines over the same five minutes; a null value is a gap.  Times differ by powers of ten: their scale is logarithmic.
function chart(figure, { title, now, lines, key, unit, describe, logarithmic = false }) {
  const samples = known.rates.samples;
  const end = samples.length ? samples.at(-1).time : now_s();
  const begin = end - 300;
  const values = lines.flatMap((line) => samples.map(line.value)).filter((value) => value !== null);
  const peak = Math.max(0, ...values);
  const top = logarithmic ? 10 ** Math.ceil(Math.log10(Math.max(peak, 1))) : ceiling(peak);
  const least = Math.min(top / 10, ...values.filter((value) => value > 0));
  const bottom = logarithmic ? 10 ** Math.floor(Math.log10(least)) : 0;
  const share = (value) =>
    logarithmic ? Math.log10(Math.max(value, bottom) / bottom) / Math.log10(top / bottom) : value / top;
  const x = (time) => (((time - begin) / 300) * WIDE).toFixed(1);
  const y = (value) => (HIGH - share(value) * HIGH).toFixed(1);
  const marks = (known.audit?.entries || [])
    .filter((entry) => entry.result === "committed" && entry.time > begin && entry.time <= end)
    .map((entry) => x(entry.time));
  show(figure, [samples, marks, title], () => {
    const paths = lines.flatMap((line) => {
      const runs = [];
      let open = false;
      for (const sample of samples) {
        const value = line.value(sample);
        if (value === null) open = false;
        else if (open) runs.at(-1).push([x(sample.time), y(value)]);
        else {
          runs.push([[x(sample.time), y(value)]]);
          open = true;
        }
      }
      const path = (run) => (run.length > 1 ? `M${run.map((at) => at.join(" ")).join("L")}` : `M${run[0].join(" ")}h0.1`);
      const drawn = [draw("path", { class: line.kind, d: runs.map(path).join("") })];
      if (line.filled) {
        const area = runs.map((run) => `${path(run)}L${run.at(-1)[0]} ${HIGH}L${run[0][0]} ${HIGH}Z`).join("");
        drawn.unshift(draw("path", { class: `${line.kind} area`, d: area }));
      }
      return drawn;
    });
    const over = marks.map((at) => draw("path", { class: "taken-over", d: `M${at} 0V${HIGH}` }));
    const picture = draw("svg", {
      class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${title}, last 5 minutes: ${describe(peak)}`,
    }, ...over, ...paths);
    return [
      make("figcaption", {}, key || title, make("b", {}, now)),
      make("div", { class: "plot-frame" }, picture,
        make("span", { class: "top", "aria-hidden": "true" }, unit(top)),
        logarithmic ? make("span", { class: "bottom", "aria-hidden": "true" }, unit(bottom)) : null),
      make("p", { class: "scale", "aria-hidden": "true" }, make("span", {}, "5 min ago"), make("span", {}, "now")),
    ];
  });
}

function showCharts() {
  const { samples, routes } = known.rates;
  const last = samples.at(-1);
  const perSecond = (name) => (sample) => sample.all[name] / sample.seconds;
  const rate = (value) => `${short.format(value)} per second`;
  const requests = last ? perSecond("requests")(last) : 0;
  const errors = last ? perSecond("errors")(last) : 0;
  chart($("chart-requests"), {
    title: "Requests per second", now: last ? short.format(requests) : "–", unit: (top) => short.format(top),
    lines: [{ kind: "requests", filled: true, value: perSecond("requests") }],
    describe: (peak) => `now ${rate(requests)}, at most ${rate(peak)}`,
  });
  chart($("chart-errors"), {
    title: "Server errors per second", now: last ? short.format(errors) : "–", unit: (top) => short.format(top),
    lines: [{ kind: "errors", filled: true, value: perSecond("errors") }],
    describe: (peak) => `now ${rate(errors)}, at most ${rate(peak)}`,
  });
  const timed = samples.findLast((sample) => sample.all.requests > 0);
  chart($("chart-time"), {
    title: "Time per request", now: timed ? milliseconds(timed.all.p99_ms) : "–", unit: milliseconds,
    key: make("span", {}, "Time per request: ", make("span", { class: "key" }, "p99"), " ", make("span", { class: "key dotted" }, "p50")),
    lines: [
      { kind: "requests", value: (sample) => sample.all.p99_ms },
      { kind: "second", value: (sample) => sample.all.p50_ms },
    ],
    logarithmic: true,
    describe: (peak) =>
      timed ? `half within ${milliseconds(timed.all.p50_ms)}, 99 % within ${milliseconds(timed.all.p99_ms)}, at most ${milliseconds(peak)}` : "no request",
  });
  const headed = (names) => make("thead", {}, make("tr", {}, ...names.map(([name, kind]) => make("th", { scope: "col", class: kind }, name))));
  show($("routes"), routes, () => [
    headed([["Route"], ["Face"], ["Requests", "number"], ["Server errors", "number"], ["p50", "number"], ["p99", "number"]]),
    make("tbody", {}, ...(routes.length ? routes : [null]).map((row) =>
      row === null
        ? make("tr", {}, make("td", { colspan: "6", class: "muted" }, "No request ended in these minutes."))
        : make("tr", {}, make("th", { scope: "row" }, make("code", {}, row.route)), make("td", {}, row.face), ...numbersOf(row)))),
  ]);
  show($("samples"), samples, () => [
    headed([["Until"], ["Seconds", "number"], ["Requests", "number"], ["Server errors", "number"], ["p50", "number"], ["p99", "number"]]),
    make("tbody", {}, ...samples.toReversed().map((sample) =>
      make("tr", {}, make("th", { scope: "row" }, clock.format(new Date(sample.time * 1000))),
        make("td", { class: "number" }, short.format(sample.seconds)), ...numbersOf(sample.all)))),
  ]);
}

function numbersOf(row) {
  return [whole.format(row.requests), whole.format(row.errors), milliseconds(row.p50_ms), milliseconds(row.p99_ms)]
    .map((text) => make("td", { class: "number" }, text));
}

// --- all nodes ---

const NODE_STATES = {
  done: "good", back: "good", ordered: "accent", settling: "accent", returning: "warn", away: "warn", failed: "bad", stuck: "bad",
};
const RELEASES = {
  open: ["There is a way back: ", "cloudctl rollback --rolling", ". It ends with ", "cloudctl finalize"],
  final: ["This upgrade is final."],
  back: ["It was taken back."],
};

function showRolling() {
  const { id, action, state, step, cause, progress, total, who, nodes, release, target_hash } = known.rolling;
  $("cloud").hidden = !id;
  if (!id) return;
  const way = step === "undo" ? "Going back after a failure" : action === "rollback" ? "Rollback" : "Rolling upgrade";
  show($("cloud-line"), [way, state, progress, total, who, target_hash], () => [
    `${way} `, ...(target_hash ? ["to ", brief(target_hash), " "] : []), `by ${who}: ${state}`,
    total ? `, ${whole.format(progress)} of ${count(total, "node", "nodes")}` : ""]);
  show($("cloud-nodes"), nodes, () => {
    const columns = ["Node", "State", "Had", "What it is at"];
    const rows = nodes.map((node) => make("tr", { role: "row" }, ...[
      [node.name], [tag(NODE_STATES[node.state] || "", node.state)], [brief(node.before)], [node.cause || node.text || ""],
    ].map((content, at) => make("td", { role: "cell", "data-label": columns[at] }, ...content))));
    return [
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...columns.map((name) => make("th", { role: "columnheader", scope: "col" }, name)))),
      make("tbody", { role: "rowgroup" }, ...rows),
    ];
  });
  $("cloud-cause").hidden = !cause;
  say($("cloud-cause"), cause ? sentence(cause) : "");
  show($("cloud-next"), release?.state, () => (RELEASES[release?.state] || [])
    .map((text) => (text.startsWith("cloudctl ") ? make("code", {}, text) : text)));
}

async function lookAtRolling() {
  const before = known.rolling;
  known.rolling = await ask("rolling");
  showRolling();
  const { id, state } = known.rolling;
  if (id && before && (before.id !== id || before.state !== state)) announce(`All nodes: ${known.rolling.action} ${state}.`);
}

// --- audit log ---

function showAudit() {
  const { entries, more } = known.audit;
  $("audit-more").hidden = !more;
  show($("audit"), entries, () => {
    const columns = ["When", "Who", "What", "Result", "Code", "Took", "Why"];
    const rows = entries.toReversed().map((entry) => {
      const code = entry.old_hash && entry.old_hash !== entry.new_hash && entry.new_hash
        ? [brief(entry.old_hash), " → ", brief(entry.new_hash)]
        : [brief(entry.new_hash || entry.old_hash)];
      const cells = [
        [when(entry.time)],
        [entry.who.user],
        [`${entry.action}, generation ${entry.generation}`],
        [resultTag(entry.result)],
        [make("span", {}, ...code)],
        [entry.duration_s ? `${short.format(entry.duration_s)} s` : ""],
        [entry.cause || ""],
      ];
      // Roles are said again since the narrow layout shows rows as blocks, which hides them from some readers.
      return make("tr", { role: "row" }, ...cells.map((content, at) =>
        make("td", { role: "cell", "data-label": columns[at], class: { Why: "cause", When: "fixed", Took: "fixed" }[columns[at]] }, ...content.filter((one) => one !== ""))));
    });
    return [
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...columns.map((name) => make("th", { role: "columnheader", scope: "col" }, name)))),
      make("tbody", { role: "rowgroup" }, ...rows),
    ];
  });
}

// --- looking again and again ---

function isLive() {
  return stream?.readyState === EventSource.OPEN;
}

// Browsers allow six connections to a host: tabs that nobody sees keep none.
function listen() {
  if (document.hidden) {
    stream?.close();
    return;
  }
  if (stream && stream.readyState !== EventSource.CLOSED) return;
  stream = new EventSource("/ui/events");
  stream.addEventListener("open", showLink);
  stream.addEventListener("upgrade.progress", (event) => {
    if (!known.status) return;
    known.status.upgrade = JSON.parse(event.data);
    showProgress();
    lookSoon(UPGRADE_MS);
  });
  stream.addEventListener("upgrade.ended", () => {
    if (known.status) known.status.upgrade = null;
    upgradeEnded = true;
    look();
  });
  stream.addEventListener("upgrade.rolling", () => lookAtRolling().catch((error) => console.debug("a look failed:", error)));
  stream.addEventListener("reset", look);
}

function showLink() {
  const lost = answersLost > 1 && Date.now() - lastAnswer > STALE_MS;
  if (isLive()) lastLive = Date.now();
  const live = Date.now() - lastLive < STREAM_MS;
  const state = lost ? "lost" : live ? "live" : "waiting";
  $("link").dataset.state = state;
  say($("link-text"), { lost: "No connection", live: "Live", waiting: "Connecting" }[state]);
}

function showStatus() {
  const { page } = known.status;
  offset_s = page.time - Date.now() / 1000;
  firstVersion ??= page.version;
  $("newer").hidden = page.version === firstVersion;
  showWorkers();
  showProgress();
  showCode();
  showLast();
  showFigures();
}

async function lookAtStatus() {
  const before = known.status;
  known.status = await ask("status");
  showStatus();
  const changed = !before || before.code.since !== known.status.code.since || before.code.generation !== known.status.code.generation;
  if (changed || upgradeEnded || (before.upgrade && !known.status.upgrade)) {
    upgradeEnded = false;
    await lookAtAudit();
  }
}

async function lookAtHealth() {
  try {
    known.health = await ask("health");
    lastHealth = Date.now();
    healthLost = 0;
    showParts();
  } catch (error) {
    healthLost += 1;
    throw error;
  } finally {
    showAnswer();
  }
}

// One answer that is late is nothing to speak of; what is shown must not pass for the present for long, though.
function isLost() {
  return healthLost > 1 && Date.now() - lastHealth > STALE_MS;
}

async function lookAtRates() {
  lastRates = Date.now();
  known.rates = await ask("rates");
  showCharts();
  showFigures();
}

async function lookAtAudit() {
  lastAudit = Date.now();
  const before = known.audit?.entries.at(-1);
  known.audit = await ask("audit?limit=50");
  showAudit();
  showLast();
  const latest = known.audit.entries.at(-1);
  if (latest?.time !== before?.time) lookAtPlan(); // not awaited: a tree takes its time to read
  if (before && latest && latest.time !== before.time) announce(`${latest.action} ${latest.result}. ${latest.cause || ""}`);
}

async function lookAtPlan() {
  $("plan-again").disabled = true;
  try {
    known.plan = await ask("plan", { patience: PLAN_ANSWER_MS });
    showPlan();
  } catch (error) {
    if (!known.plan) show($("plan"), error.message, () => [make("p", { class: "muted" }, `The plan could not be made: ${error.message}`)]);
  } finally {
    $("plan-again").disabled = false;
  }
}

function looks() {
  const running = known.status?.upgrade;
  const all = [lookAtStatus(), lookAtRolling()];
  if (!running || round % 4 === 0) all.push(lookAtHealth());
  if (Date.now() - lastRates >= RATES_MS) all.push(lookAtRates());
  if (known.audit && Date.now() - lastAudit >= (isLive() ? SLOW_MS : AUDIT_MS)) all.push(lookAtAudit());
  return all;
}

function lookSoon(wait) {
  clearTimeout(timer);
  timer = setTimeout(look, wait);
}

async function look() {
  if (looking) {
    lookAgain = true;
    return;
  }
  looking = true;
  clearTimeout(timer);
  round += 1;
  let ended = false;
  const results = await Promise.allSettled(looks());
  for (const { reason } of results.filter((result) => result.status === "rejected")) {
    if (reason instanceof Refused && (reason.status === 401 || reason.status === 403)) {
      ended = true;
      leave(reason.message);
      break;
    }
    console.debug("a look failed:", reason);
  }
  if (results.some((result) => result.status === "fulfilled")) {
    lastAnswer = Date.now();
    answersLost = 0;
  } else answersLost += 1;
  looking = false;
  if (ended || !known.session) return;
  listen();
  showLink();
  lookSoon(lookAgain ? 0 : pace());
  lookAgain = false;
}

function pace() {
  if (answersLost) return Math.min(500 * answersLost, QUIET_MS);
  if (known.status?.upgrade) return UPGRADE_MS;
  if (document.hidden) return HIDDEN_MS;
  return isLive() ? LIVE_MS : QUIET_MS;
}

// --- log-in ---

function enter(session) {
  known.session = session;
  const project = session.project ? ` in ${session.project}` : "";
  say($("who"), `${session.user}${project}`);
  $("login").hidden = true;
  $("page").hidden = false;
  lastAnswer = Date.now();
  answersLost = 0;
  lastLive = Date.now();
  look();
}

function leave(cause) {
  clearTimeout(timer);
  stream?.close();
  stream = null;
  known.session = null;
  $("page").hidden = true;
  $("login").hidden = false;
  say($("login-error"), cause);
  document.title = "Log in · cloudd";
  $($("user").value ? "password" : "user").focus();
}

async function logIn(event) {
  event.preventDefault();
  const form = $("login-form");
  const button = form.querySelector("button");
  const body = Object.fromEntries(["user", "password", "domain", "project"].map((name) => [name, $(name).value]));
  button.disabled = true;
  say($("login-error"), "");
  try {
    const session = await ask("login", { body });
    $("password").value = "";
    enter(session);
    $("main").focus();
  } catch (error) {
    const cause = error instanceof Refused ? error.message : "The host does not answer; try again in a moment.";
    say($("login-error"), cause);
    $("password").select();
  } finally {
    button.disabled = false;
  }
}

async function logOut() {
  try {
    await ask("logout", { body: {} });
    for (const name of Object.keys(known)) known[name] = null;
    $("notice").hidden = true;
    leave("");
  } catch (error) {
    $("notice").hidden = false;
    say($("notice"), `You are still logged in: ${error.message}`);
  }
}

async function begin() {
  $("login-form").addEventListener("submit", logIn);
  $("logout").addEventListener("click", logOut);
  $("plan-again").addEventListener("click", lookAtPlan);
  document.addEventListener("visibilitychange", () => {
    if (!known.session) return;
    listen();
    if (!document.hidden) look();
  });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { session, cause } = await ask("session");
      if (session) enter(session);
      else leave(cause);
      return;
    } catch (error) {
      if (attempt === 3) leave("The host does not answer; this page tries again when you log in.");
      if (attempt >= 3) return;
      await new Promise((wake) => setTimeout(wake, 400 * attempt));
    }
  }
}

begin();
