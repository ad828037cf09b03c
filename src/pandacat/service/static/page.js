/**
 * The page of `pandacat serve`: photos in, answers out.
 *
 * A photo is a plain object in `photos`; `show` draws its card from it. Four workers take photos
 * from `queue` and ask the server. Texts from files and from the server only ever become text.
 */

const UPLOADS = 4;
const ATTEMPTS = 20; // for a photo, with up to 15 seconds between two, or as long as the server says
const PASSING = [502, 503, 504]; // statuses of a server that may answer later
const FORM_BYTES = 1000; // of a form with a photo, at most, besides the photo
const OTHER = "other";
const HUES = 6; // colors of labels in page.css

/** What systems and programs for photos keep beside photos: thumbnails, caches, recycle bins. */
const SYSTEM_NAMES = [
  "__macosx", "icon\r", "network trash folder", "temporary items", "resource.frk",
  "thevolumesettingsfolder", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db",
  "desktop.ini", "$recycle.bin", "recycler", "recycled", "system volume information",
  "lost+found", "lost.dir", "@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot",
  "~snapshot", "@recycle", "@recently-snapshot", "@__thumb", "trashbox",
  "files_trashbin", "files_versions", "picasa.ini", "ipod photo cache", "thmbnl",
  "__pycache__",
];
const SYSTEM_PATTERNS = [
  "found\\.[0-9]{3}", "_vti_[a-z]+", "network recycle bin [0-9]+", ".+\\.lrdata",
  ".+\\.[a-z0-9]+_original", ".+\\.thm", ".+~", ".+@syno[a-z]+", "thumbs\\.db:.+",
  ".+:zone.identifier",
];

const $ = (id) => document.getElementById(id);
const endings = $("photo-input").accept.split(",").filter((each) => each.startsWith("."));

let model = null; // what /v1/model says
let photos = []; // in the order added
let queue = [];
let workers = 0;
let run = { start: 0, done: 0 }; // since the queue was last empty
let filter = "all";
let updating = 0;
let enlarged = null; // the photo in the viewer
let pasted = 0;

/** Why a photo got no answer, in a sentence for the user. */
class NoAnswer extends Error {}

// ---------------------------------------------------------------- words

const words = (label) => label.replaceAll("_", " ");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const known = () => model.labels.filter((label) => label !== OTHER);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function listed(items, conjunction = "or") {
  const last = items.at(-1);
  return items.length > 1 ? `${items.slice(0, -1).join(", ")} ${conjunction} ${last}` : last;
}

/** A label as part of a sentence; `other` by what it is other than. */
function named(label) {
  if (label !== OTHER) return words(label);
  const labels = known();
  if (labels.length === 1) return `no ${words(labels[0])}`;
  return labels.length === 2 ? "neither" : "none of these";
}

/** A prediction set in words, for a photo with this label. */
function setInWords(labels, label) {
  const rest = labels.filter((each) => each !== label);
  if (!rest.length) return "Everything else is ruled out.";
  const doubts = rest.filter((each) => each !== OTHER).map(words);
  const clauses = doubts.length ? [listed(doubts)] : [];
  if (rest.includes(OTHER)) clauses.push(`that it is ${named(OTHER)}`);
  return `${capital(listed(labels.map(named)))}: can’t rule out ${clauses.join(", or ")}.`;
}

function percent(share) {
  if (share > 0 && share < 0.0005) return "<\u00a00.1\u00a0%";
  if (share < 1 && share >= 0.9995) return ">\u00a099.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return `${Math.round(seconds / 60)} min`;
}

const hue = (label) => (label === OTHER ? "other" : `${known().indexOf(label) % HUES}`);

// ---------------------------------------------------------------- elements

/** Return a new element with properties, of which `class` and `data` are short forms. */
function element(tag, { class: classes, data, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (classes) made.className = classes;
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

const paragraph = (...children) => element("p", {}, ...children);

/** Return the nodes of a text in which `code` is set in backquotes. */
const marked = (text) =>
  text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));

/** Show an image, or none. */
function setSource(image, source) {
  image.hidden = !source;
  if (!source) image.removeAttribute("src");
  else if (image.getAttribute("src") !== source) image.src = source;
}

function announce(text) {
  $("announcement").textContent = text;
}

// ---------------------------------------------------------------- the server

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)));
  });

/** Return the response of the server, once it is there and not too busy. */
async function request(address, { attempts = Infinity, signal, ...options } = {}) {
  for (let attempt = 1; ; attempt++) {
    let response = null;
    try {
      response = await fetch(address, { ...options, signal });
    } catch (error) {
      if (signal?.aborted) throw error;
    }
    if (response && !PASSING.includes(response.status)) {
      $("trouble").textContent = "";
      return response;
    }
    const problem = response
      ? detail(await content(response), response)
      : "The server does not answer. Is pandacat serve still running?";
    if (attempt >= attempts) throw new NoAnswer(problem);
    const seconds = Number(response?.headers.get("Retry-After")) || Math.min(2 ** (attempt - 1), 15);
    $("trouble").textContent = `${problem} Trying again in ${duration(seconds)}.`;
    await pause(seconds, signal);
  }
}

/** Return the JSON of a response, or null where it has none. */
const content = (response) => response.json().catch(() => null);

/** Return the server's own sentence about an error, if it has one. */
const detail = (answer, { status }) =>
  typeof answer?.detail === "string" ? answer.detail : `The server answers with error ${status}.`;

/** Return the server's prediction for a photo. */
async function predict(photo, { explain, signal }) {
  const limit = model.limits.max_body_mb;
  if (photo.file.size > limit * 1e6 - FORM_BYTES) {
    return { label: null, reason: `larger than the ${limit} MB that this server takes: make it smaller`, notes: [] };
  }
  await photo.file.slice(0, 1).arrayBuffer().catch(() => {
    throw new NoAnswer("The file was moved or changed since it was added: add it again.");
  });
  const body = new FormData(); // whose answer, unlike that to a lone photo, is no error if it can't be read
  body.append("files", photo.file, "photo");
  const response = await request(`v1/predict?explain=${explain}`, {
    method: "POST", body, attempts: ATTEMPTS, signal,
  });
  const answer = await content(response);
  if (!answer?.predictions) throw new NoAnswer(detail(answer, response));
  return answer.predictions[0];
}

// ---------------------------------------------------------------- the queue

const needsMap = (photo) => photo.showsMap && photo.state === "answered" && !photo.map;

function enqueue(added, { first = false } = {}) {
  const fresh = added.filter((photo) => !queue.includes(photo) && !photo.aborter);
  if (!workers) run = { start: performance.now(), done: 0 };
  queue = first ? [...fresh, ...queue] : [...queue, ...fresh];
  for (const photo of fresh) {
    if (!photo.prediction) photo.state = "waiting";
    show(photo);
  }
  while (model && workers < Math.min(UPLOADS, queue.length + workers)) work();
  update();
}

async function work() {
  workers++;
  try {
    while (queue.length) await answer(queue.shift());
  } finally {
    workers--;
    update();
  }
}

async function answer(photo) {
  const { signal } = (photo.aborter = new AbortController());
  const before = photo.prediction ? photo.state : null; // only its heat-map is missing
  const explain = photo.showsMap;
  if (!before) photo.state = "sending";
  show(photo);
  try {
    const prediction = await predict(photo, { explain, signal });
    photo.map ??= prediction.heatmap;
    photo.prediction ??= prediction;
    photo.state = prediction.reason === null ? "answered" : "unreadable";
    if (explain && !photo.map) photo.showsMap = false;
    if (!before) run.done++;
  } catch (error) {
    if (!signal.aborted && !(error instanceof NoAnswer)) throw error;
    photo.state = before ?? (signal.aborted ? "stopped" : "failed");
    if (before) photo.showsMap = false;
    photo.problem = signal.aborted ? null : error.message;
    if (photo.problem) $("trouble").textContent = before ? `No heat-map: ${photo.problem}` : "";
  } finally {
    photo.aborter = null;
  }
  show(photo);
  if (needsMap(photo) && photo.near) enqueue([photo], { first: true });
  update();
}

function stop() {
  queue = [];
  for (const photo of photos.filter((each) => isOpen(each) || needsMap(each))) {
    if (photo.prediction) photo.showsMap = false;
    else photo.state = "stopped";
    photo.aborter?.abort();
    show(photo);
  }
  $("trouble").textContent = "";
  showToolbar();
  $("continue").focus();
}

function setMap(photo, on) {
  photo.showsMap = on;
  show(photo);
  if (needsMap(photo)) enqueue([photo], { first: true });
}

// ---------------------------------------------------------------- adding and removing

const system = new RegExp(`^(${SYSTEM_PATTERNS.join("|")})$`);

function isHidden(part) {
  const name = part.toLowerCase();
  return name.startsWith(".") || SYSTEM_NAMES.includes(name) || system.test(name);
}

/** Add photos, given as [file, name]; those in folders only if their ending is a photo's. */
function add(entries) {
  const passedOver = [];
  const added = [];
  for (const [file, name] of entries) {
    const parts = name.split("/");
    if (parts.length > 1 && parts.some(isHidden)) continue;
    if (!file || parts.length > 1 && !endings.some((ending) => name.toLowerCase().endsWith(ending))) {
      passedOver.push(parts.at(-1));
    } else {
      added.push(newPhoto(file, name));
    }
  }
  photos.push(...added);
  $("photos").append(...added.map((photo) => photo.card));
  const some = passedOver.slice(0, 3).join(", ") + (passedOver.length > 3 ? ", …" : "");
  $("notice").textContent = passedOver.length
    ? `Passed over, as no photos: ${passedOver.length} (${some})`
    : entries.length ? "" : "No photos there.";
  announce(`${counted(added.length, "photo")} added.`);
  if (added.length) enqueue(added);
}

function newPhoto(file, name) {
  const card = $("card").content.firstElementChild.cloneNode(true);
  const photo = {
    file, name, card, state: "waiting", prediction: null, problem: null,
    showsMap: $("all-maps").checked, map: null, near: false, url: null, aborter: null,
  };
  const part = (selector) => card.querySelector(selector);
  card.photo = photo;
  part(".name").textContent = name;
  part(".name").title = name;
  part(".picture").setAttribute("aria-label", `Enlarge ${name}`);
  part(".remove").setAttribute("aria-label", `Remove ${name}`);
  part(".picture").onclick = () => enlarge(photo);
  part(".toggle").onclick = () => setMap(photo, !photo.showsMap);
  part(".again").onclick = () => enqueue([photo]);
  part(".remove").onclick = () => {
    const cards = shownCards();
    const next = cards[cards.indexOf(card) + 1] ?? cards.at(-2);
    remove([photo]);
    (next?.querySelector(".remove") ?? $("choose-photos")).focus();
  };
  part(".photo").onerror = () => (part(".no-preview").hidden = false);
  nearby.observe(card);
  return photo;
}

function remove(gone) {
  queue = queue.filter((photo) => !gone.includes(photo));
  photos = photos.filter((photo) => !gone.includes(photo));
  for (const photo of gone) {
    photo.aborter?.abort();
    nearby.unobserve(photo.card);
    photo.near = false;
    showPicture(photo);
    photo.card.remove();
  }
  announce(`${counted(gone.length, "photo")} removed.`);
  update();
}

/** Pictures are decoded only near the window, so that hundreds stay light. */
const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      target.photo.near = isIntersecting;
      showPicture(target.photo);
      if (isIntersecting && needsMap(target.photo)) enqueue([target.photo], { first: true });
    }
  },
  { rootMargin: "600px" },
);

function showPicture(photo) {
  if (photo.near === Boolean(photo.url)) return;
  if (photo.url) URL.revokeObjectURL(photo.url);
  photo.url = photo.near ? URL.createObjectURL(photo.file) : null;
  setSource(photo.card.querySelector(".photo"), photo.url);
}

/** Return [file, name] for all that was dropped, folders with what is in them. */
async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const roots = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const root of roots) {
    if (root instanceof File) found.push([root, root.name]);
    else if (root) await walk(root, found);
  }
  return found;
}

/** Find the files in a folder as [file, name]; null stands for what can't be read. */
async function walk(entry, found) {
  const name = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    found.push([file, name]);
    return;
  }
  const reader = entry.createReader();
  const unread = (resolve) => (found.push([null, name]), resolve([]));
  const read = () => new Promise((resolve) => reader.readEntries(resolve, () => unread(resolve)));
  const inside = [];
  for (let some = await read(); some.length; some = await read()) inside.push(...some);
  inside.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const each of inside) await walk(each, found);
}

// ---------------------------------------------------------------- one card

const STATES = {
  waiting: "Waiting",
  sending: "Looking …",
  stopped: "Stopped",
  failed: "No answer",
  unreadable: "Can’t be read",
};

const headline = (photo) => STATES[photo.state] ?? capital(named(photo.prediction.label));

function show(photo) {
  const { card, prediction, state } = photo;
  const part = (selector) => card.querySelector(selector);
  const answered = state === "answered";
  card.dataset.state = state;
  card.dataset.hue = answered ? hue(prediction.label) : "none";
  part(".headline").textContent = headline(photo);
  showBars(part(".bars"), state, prediction?.probabilities);
  const set = answered ? prediction.prediction_set : null;
  part(".set").textContent =
    state === "failed" ? photo.problem
    : state === "unreadable" ? `${capital(prediction.reason)}.`.replace(/([.!?])\.$/, "$1")
    : set ? setInWords(set, prediction.label) : "";
  card.classList.toggle("in-doubt", (set?.length ?? 0) > 1);
  const notes = (prediction?.notes ?? []).map((note) => element("li", {}, capital(note)));
  part(".notes").replaceChildren(...notes);
  const toggle = part(".toggle");
  toggle.hidden = !answered || !model.explains;
  toggle.setAttribute("aria-pressed", photo.showsMap);
  toggle.setAttribute("aria-label", `Heat-map of ${photo.name}`);
  toggle.setAttribute("aria-busy", needsMap(photo));
  part(".again").hidden = !isGivenUp(photo);
  setSource(part(".map"), photo.showsMap ? photo.map : null);
  if (enlarged === photo) showEnlarged();
}

function showBars(list, state, probabilities) {
  const labels = probabilities ? Object.keys(probabilities) : (model?.labels ?? []);
  list.hidden = ["unreadable", "failed"].includes(state);
  if (list.childElementCount !== labels.length) {
    list.replaceChildren(
      ...labels.map((label) =>
        element("div", { data: { hue: hue(label) } },
          element("dt", {}, capital(named(label))),
          element("dd", {}, element("span", { class: "bar" }), element("data", {}, "–")),
        ),
      ),
    );
  }
  if (!probabilities) return;
  for (const [index, label] of labels.entries()) {
    const row = list.children[index];
    row.style.setProperty("--share", probabilities[label]);
    row.querySelector("data").value = probabilities[label];
    row.querySelector("data").textContent = percent(probabilities[label]);
  }
}

// ---------------------------------------------------------------- all cards

/** Bring the toolbar and the order of the cards up to date, soon and once. */
function update() {
  updating ||= setTimeout(() => {
    updating = 0;
    showToolbar();
    arrange();
  }, 30);
}

const isDone = (photo) => photo.state === "answered" || photo.state === "unreadable";
const isOpen = (photo) => photo.state === "waiting" || photo.state === "sending";
const isGivenUp = (photo) => photo.state === "stopped" || photo.state === "failed";
const group = (photo) => (photo.state === "answered" ? photo.prediction.label : photo.state);

/** Return how many photos there are of each label, and of each state without one. */
function tally() {
  const counts = new Map();
  for (const photo of photos) counts.set(group(photo), (counts.get(group(photo)) ?? 0) + 1);
  return counts;
}

function showToolbar() {
  const done = photos.filter(isDone).length;
  const open = photos.filter(isOpen).length;
  const hasGivenUp = photos.some(isGivenUp);
  document.body.classList.toggle("has-photos", photos.length > 0);
  $("toolbar").hidden = !photos.length;
  $("progress").max = photos.length || 1;
  $("progress").value = done;
  const pace = (performance.now() - run.start) / 1000 / run.done;
  const left = open && run.done >= 3 ? ` · about ${duration(pace * open)} left` : "";
  $("count").textContent = `${done.toLocaleString("en")} of ${counted(photos.length, "photo")}${left}`;
  const finished = photos.length > 0 && !open && !hasGivenUp;
  if (finished && !$("toolbar").classList.contains("finished")) announce(summary());
  $("toolbar").classList.toggle("finished", finished);
  $("stop").hidden = !open;
  $("continue").hidden = Boolean(open) || !hasGivenUp;
  $("csv").disabled = !photos.some((photo) => isDone(photo) || photo.state === "failed");
  document.title = open ? `${done} of ${photos.length} · pandacat` : "pandacat";
  showFilters();
}

function summary() {
  const parts = [...tally()].map(([key, count]) => `${count} ${STATES[key] ?? named(key)}`);
  return `Done: ${parts.join(", ")}.`;
}

function showFilters() {
  if (!model) return;
  const counts = tally();
  const keys = [...model.labels, "unreadable", "failed"];
  if (filter !== "all" && !counts.has(filter)) filter = "all";
  if (!$("filters").querySelector("input")) {
    for (const key of ["all", ...keys]) {
      const input = element("input", { type: "radio", name: "filter", value: key });
      input.onchange = () => ((filter = key), arrange());
      const text = key === "all" ? "All" : (STATES[key] ?? capital(named(key)));
      const data = { hue: model.labels.includes(key) ? hue(key) : "none" };
      $("filters").append(element("label", { class: "chip", data }, input, text, element("b")));
    }
  }
  for (const input of $("filters").querySelectorAll("input")) {
    const count = input.value === "all" ? photos.length : (counts.get(input.value) ?? 0);
    input.checked = input.value === filter;
    input.parentElement.hidden = !count;
    input.parentElement.querySelector("b").textContent = count.toLocaleString("en");
  }
}

const probability = (photo) => photo.prediction?.probabilities?.[photo.prediction.label] ?? 2;
const rank = (photo) =>
  photo.state === "answered" ? model.labels.indexOf(photo.prediction.label) : model.labels.length;

const ORDERS = {
  added: () => 0, // sorting is stable
  label: (a, b) => rank(a) - rank(b) || probability(b) - probability(a),
  doubt: (a, b) => probability(a) - probability(b),
  name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
};

/** The cards that the filter leaves, in their order. */
const shownCards = () => [...$("photos").children].filter((card) => !card.hidden);

/** Put the cards in order, keeping the focus, and hide those that the filter leaves out. */
function arrange() {
  const sorted = [...photos].sort(ORDERS[$("sort").value]);
  for (const photo of photos) photo.card.hidden = filter !== "all" && group(photo) !== filter;
  if (sorted.every((photo, index) => $("photos").children[index] === photo.card)) return;
  const focused = document.activeElement;
  $("photos").append(...sorted.map((photo) => photo.card));
  if ($("photos").contains(focused)) focused.focus({ preventScroll: true });
}

// ---------------------------------------------------------------- CSV

/** Return a path that no spreadsheet takes for a formula, to the same file, as `predict` does. */
const spreadsheetSafe = (path) =>
  path.length > 1 && /^[=+\-@\t\r＝＋－＠]/.test(path) ? `./${path}` : path;

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Return the answers as `pandacat predict -o` writes them. */
function csv() {
  const rows = [["path", "label", ...model.labels.map((label) => `p_${label}`), "reason"]];
  for (const { state, name, prediction, problem } of photos) {
    if (!prediction && state !== "failed") continue;
    const values = model.labels.map((label) => prediction?.probabilities?.[label]?.toFixed(6) ?? "");
    const label = prediction ? (prediction.label ?? "unreadable") : "";
    rows.push([spreadsheetSafe(name), label, ...values, prediction?.reason ?? problem ?? ""]);
  }
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function saveCsv() {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  element("a", { href: url, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// ---------------------------------------------------------------- the viewer

function enlarge(photo) {
  if (enlarged !== photo) {
    URL.revokeObjectURL($("viewer-photo").src);
    $("viewer-photo").src = URL.createObjectURL(photo.file);
  }
  enlarged = photo;
  showEnlarged();
  if (!$("viewer").open) $("viewer").showModal();
}

function showEnlarged() {
  const { name, state, prediction, showsMap, map, card } = enlarged;
  const answered = state === "answered";
  $("viewer").dataset.hue = card.dataset.hue;
  $("viewer-headline").textContent = headline(enlarged);
  $("viewer-probability").textContent = answered ? percent(probability(enlarged)) : "";
  $("viewer-name").textContent = name;
  $("viewer-toggle").hidden = !answered || !model.explains;
  $("viewer-toggle").setAttribute("aria-pressed", showsMap);
  $("viewer-toggle").setAttribute("aria-busy", needsMap(enlarged));
  setSource($("viewer-map"), showsMap ? map : null);
}

/** Show the next photo (or with -1 the previous one) of those that the filter leaves. */
function turn(step) {
  const cards = shownCards();
  const index = cards.indexOf(enlarged.card) + step;
  enlarge(cards[(index + cards.length) % cards.length].photo);
}

function closeViewer() {
  URL.revokeObjectURL($("viewer-photo").src);
  $("viewer-photo").removeAttribute("src");
  enlarged.card.querySelector(".picture").focus();
  enlarged = null;
}

// ---------------------------------------------------------------- how far to trust it

function showModel() {
  const names = known().map(words);
  $("question").textContent =
    names.length > 5 ? "What does the photo show?"
    : names.length > 1 ? `${capital([...names, `or ${named(OTHER)}`].join(", "))}?`
    : `${capital(names[0])}, or not?`;
  $("drawn").hidden = !model.drawn;
  $("all-maps-label").hidden = !model.explains;
  $("about").replaceChildren(...about(listed(names, "and")));
}

/** Return the section on the model, from what the server says about it. */
function about(names) {
  const { card, drawn } = model;
  const parts = [];
  if (drawn) {
    parts.push(element("p", { class: "warning" },
      element("strong", {}, "Trained on drawings."),
      " Its answers and figures show that the pipeline works, and say nothing about animals in photos. ",
      element("code", {}, "dvc exp run -S photos.source=kaggle"), " trains it on photos."));
  }
  parts.push(element("p", { class: "lead" },
    `This model tells ${names} apart ${known().length > 1 ? "from each other and " : ""}from everything `
      + "else. It was trained on ",
    element("b", {}, model.title), "."));
  if (card?.figures?.length) {
    parts.push(element("div", { class: "figures" }, ...card.figures.map(figure)),
      element("p", { class: "soft" }, "In parentheses: 95\u00a0% confidence intervals. The truth may lie "
        + "anywhere in them, for photos like those that were tested."));
  } else {
    parts.push(paragraph("This model comes without figures of its own. Before you rely on it, try it "
      + "on photos of yours of which you know the answer."));
  }
  parts.push(element("div", { class: "columns" }, ...explanations(names)));
  parts.push(details());
  return parts;
}

function figure({ name, value, low, high, photos: count }) {
  const isShare = !/auroc|area/i.test(name);
  const text = (number) => (isShare ? (100 * number).toFixed(1) : number.toFixed(3));
  const whisker = element("span", { class: "whisker" }, element("i"));
  for (const [property, number] of Object.entries({ value, low, high })) {
    whisker.style.setProperty(`--${property}`, number);
  }
  return element("div", { class: "figure" },
    element("span", {}, capital(name)),
    element("b", {}, isShare ? `${text(value)}\u00a0%` : text(value)),
    whisker,
    element("small", {}, `(${text(low)}–${text(high)})${count ? ` · ${counted(count, "photo")}` : ""}`));
}

function explanations(names) {
  const { card, coverage, confidence } = model;
  const inPercent = (share) => `${Math.round(100 * share)}\u00a0%`;
  const block = (title, ...texts) =>
    element("section", {}, element("h3", {}, title), ...texts.map((text) => paragraph(text)));
  const blocks = [block("What a percentage means", coverage
    ? "Of the photos answered with 80\u00a0%, about 80\u00a0% should be right. The scale was set with photos "
      + "that the network had not learned from, and holds for photos like those. With other cameras, "
      + "places or animals it can be surer than it should be."
    : "This model is not calibrated: its percentages rank photos, from surer to less sure, but are no "
      + "shares of right answers.")];
  if (coverage) {
    blocks.push(block("What “can’t rule out” means",
      `The other labels are ruled out. The limits were set so that, with ${inPercent(confidence)} confidence, `
      + `at least ${inPercent(coverage)} of a label’s photos keep it, if they are like those that the limits were `
      + "set with. "
      + "Where two or more labels remain, have a person look."));
  }
  if (model.explains) {
    blocks.push(block("What a heat-map shows",
      "Which parts of the photo support the answer, from faint to strong. A map beside the animal is a "
      + "reason for doubt; a map on it is no proof."));
  }
  blocks.push(block("Where photos go",
    "To the server that this page came from, and nowhere else. It holds them in memory while it "
    + "answers, and stores nothing."));
  const limits = card?.limits?.length ? card.limits : [
    `It knows ${names}. Every other animal, related ones included, is to come out as ${named(OTHER)}, `
      + "and so is a picture without an animal.",
    "It gives one label to a whole photo. It neither counts animals nor says where they are.",
    "Not for decisions about animals or people without a person who looks.",
  ];
  const list = element("ul", {}, ...limits.map((limit) => element("li", {}, ...marked(limit))));
  const unknown = element("section", { class: "limits" }, element("h3", {}, "What it does not know"), list);
  return [...blocks, unknown];
}

function details() {
  const rows = {
    "Trained on": model.title, Backbone: model.backbone,
    Labels: model.labels.map(words).join(", "), "Crops of each photo": model.crops,
    "Side of a crop": `${model.input_px} px`, Temperature: model.temperature,
    "Training photos": model.trained_on, "SHA-256 of its weights": model.sha256,
  };
  const given = Object.entries(rows).filter(([, value]) => value !== null && value !== undefined);
  return element("details", {}, element("summary", {}, "The model in full"),
    element("dl", {}, ...given.flatMap(([term, value]) =>
      [element("dt", {}, term), element("dd", {}, `${value}`)])));
}

// ---------------------------------------------------------------- beginning

function listen() {
  const choose = (button, input) => {
    $(button).onclick = () => $(input).click();
    $(input).onchange = () => {
      add([...$(input).files].map((file) => [file, file.webkitRelativePath || file.name]));
      $(input).value = "";
    };
  };
  choose("choose-photos", "photo-input");
  choose("choose-folder", "folder-input");
  $("choose-folder").hidden = !("webkitdirectory" in $("folder-input"));
  $("stop").onclick = stop;
  $("continue").onclick = () => enqueue(photos.filter(isGivenUp));
  $("sort").onchange = arrange;
  $("csv").onclick = saveCsv;
  $("clear").onclick = () => (remove(photos), $("choose-photos").focus());
  $("all-maps").onchange = () => {
    for (const photo of photos) {
      photo.showsMap = $("all-maps").checked;
      show(photo);
    }
    enqueue(photos.filter((photo) => photo.near && needsMap(photo)), { first: true });
  };

  $("viewer").onclose = closeViewer;
  $("viewer-close").onclick = () => $("viewer").close();
  $("viewer-toggle").onclick = () => setMap(enlarged, !enlarged.showsMap);
  $("viewer-previous").onclick = () => turn(-1);
  $("viewer-next").onclick = () => turn(1);
  $("viewer").onclick = ({ target }) => target === $("viewer") && $("viewer").close(); // its backdrop
  $("viewer").onkeydown = ({ key }) => {
    if (key === "ArrowLeft") turn(-1);
    if (key === "ArrowRight") turn(1);
  };

  let depth = 0; // dragenter and dragleave come for every element on the way
  const veil = (change) => ($("veil").hidden = (depth = change) < 1);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.ondragenter = (event) => hasFiles(event) && veil(depth + 1);
  document.ondragleave = (event) => hasFiles(event) && veil(depth - 1);
  document.ondragover = (event) => hasFiles(event) && event.preventDefault();
  document.ondrop = async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    veil(0);
    add(await dropped(event.dataTransfer));
  };
  document.onpaste = ({ clipboardData }) => {
    const files = [...(clipboardData?.files ?? [])];
    const name = (file) => `pasted-${++pasted}.${file.type.split("/").at(-1)}`;
    if (files.length) add(files.map((file) => [file, file.name === "image.png" ? name(file) : file.name]));
  };
}

async function main() {
  listen();
  const response = await request("v1/model");
  const answer = await content(response);
  if (!answer?.labels) {
    $("trouble").textContent = detail(answer, response);
    return;
  }
  model = answer;
  showModel();
  photos.forEach(show);
  enqueue([]);
}

main();
