// What the page at / does: log in, look at the access token, call, refresh, see and end sessions, log out.

// The attempt id belongs to the refresh token in the cookie. All tabs share it, and its presence says that somebody is logged in.
const ATTEMPT = "stagedoor-attempt";
const UNREACHABLE = "The service is not reachable just now. Nobody was logged out";
const COOKIE_NOTE = "the refresh token rotated or was kept: it is in an HttpOnly cookie, this page cannot read it.";
const REFUSED = "Every guarded route refuses it from now on. Try one, then press Refresh.";
const HINTS = {
  401: "The token is not accepted any more, and the challenge says why. Press Refresh to get a new one, or log in again if the session has ended.",
  403: "The token is genuine, but it lacks the scope that this route asks for. A refresh does not change that.",
};
const NEW_ORDER = { item: "Ticket, row F", quantity: 2 };

const byId = (id) => document.getElementById(id);
const isUnreachable = (answer) => [0, 502, 503, 504].includes(answer.status);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
const moment = (seconds) => new Date(seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

// In memory only: what is in storage can be read by any script of this origin, also later.
let accessToken = null;
let lifeSeconds = 0;
let expiresAt = 0;
let ticking = null;
let refreshing = null;

// --- talking to the service

async function send(method, path, { json, headers = {}, bearer } = {}) {
  const request = { method, headers: { ...headers }, cache: "no-store", signal: AbortSignal.timeout(20_000) };
  if (bearer) request.headers.Authorization = `Bearer ${bearer}`;
  if (json) request.headers["Content-Type"] = "application/json";
  if (json) request.body = JSON.stringify(json);
  try {
    const response = await fetch(path, request);
    const { ok, status, statusText } = response;
    const text = await response.text();
    return { ok, status, statusText, text, data: parsed(text), headers: response.headers };
  } catch {
    return { ok: false, status: 0, statusText: "No answer", text: "", data: null, headers: new Headers() };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function explain(answer) {
  if (isUnreachable(answer)) return `${UNREACHABLE}; try again in a moment.`;
  const wait = Number(answer.headers.get("Retry-After"));
  if (answer.status === 429) return `Too many attempts. Try again in ${wait > 0 ? duration(wait) : "a few minutes"}.`;
  return answer.data?.error_description ?? `The service answered ${answer.status} ${answer.statusText}`.trim();
}

// One tab at a time, so that each sends the attempt id of the cookie it sends. A tab that hangs with the lock must not
// stop the others for long: the service copes with both at once.
async function exclusive(task) {
  if (!navigator.locks) return task();
  let started = false;
  try {
    return await navigator.locks.request("stagedoor-refresh", { signal: AbortSignal.timeout(5_000) }, () => {
      started = true;
      return task();
    });
  } catch (problem) {
    if (started) throw problem;
    return task();
  }
}

function newAttempt() {
  localStorage.setItem(ATTEMPT, crypto.randomUUID());
  return localStorage.getItem(ATTEMPT);
}

function refresh() {
  refreshing ??= exclusive(refreshOnce).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function refreshOnce() {
  const attempt = localStorage.getItem(ATTEMPT) ?? newAttempt();
  const answer = await send("POST", "/auth/refresh", { headers: { "Idempotency-Key": attempt } });
  const unchanged = localStorage.getItem(ATTEMPT) === attempt;
  if (answer.ok) {
    if (unchanged) newAttempt();
    signIn(answer.data);
  } else if (answer.data?.error === "invalid_grant") {
    // Another tab logged in while this answer was on its way: the refusal is about the cookie before.
    if (!unchanged && localStorage.getItem(ATTEMPT)) return refreshOnce();
    signOut("This session is over. Please log in again.");
  }
  return answer;
}

async function sendRefreshingOnce(method, path) {
  const answer = await send(method, path, { bearer: accessToken });
  if (answer.status !== 401) return answer;
  const refreshed = await refresh();
  return refreshed.ok ? send(method, path, { bearer: accessToken }) : refreshed;
}

// --- signed in, signed out

function signIn(tokens) {
  const wasOut = accessToken === null;
  accessToken = tokens.access_token;
  lifeSeconds = tokens.expires_in;
  // Counted from the arrival, not from `exp`: the clock of this device may be wrong.
  expiresAt = Date.now() + lifeSeconds * 1000;
  showToken(accessToken);
  write({ "expired-note": "" });
  clearInterval(ticking);
  ticking = setInterval(tick, 250);
  tick();
  if (wasOut) showSignedIn();
}

function showSignedIn() {
  byId("login-form").reset();
  byId("call-result").hidden = true;
  write({ "refresh-message": "", sessions: "" });
  byId("signed-out").hidden = true;
  byId("signed-in").hidden = false;
  say("");
  byId("account-title").focus();
}

function signOut(text) {
  localStorage.removeItem(ATTEMPT);
  showSignedOut(text);
}

function showSignedOut(text, kind) {
  accessToken = null;
  clearInterval(ticking);
  write({ account: "", "token-encoded": "", "token-header": "", "token-payload": "", "token-signature": "", "call-body": "" });
  byId("signed-in").hidden = true;
  byId("signed-out").hidden = false;
  say(text, kind);
  byId("username").focus();
}

async function logIn(event) {
  const { username, password } = event.target.elements;
  const json = { username: username.value, password: password.value, transport: "cookie" };
  const answer = await exclusive(() => send("POST", "/auth/login", { json }));
  if (answer.ok) {
    newAttempt();
    signIn(answer.data);
    return loadSessions();
  }
  say(answer.data?.error === "invalid_grant" ? "Wrong username or password." : explain(answer), "error");
  password.select();
}

async function logOut() {
  const answer = await exclusive(() => send("POST", "/auth/logout"));
  if (answer.ok) signOut("You are logged out.");
  else say(explain(answer), "error");
}

async function logOutEverywhere() {
  const answer = await sendRefreshingOnce("POST", "/auth/logout-all");
  if (answer.ok) signOut("You are logged out everywhere.");
  else if (accessToken) say(explain(answer), "error");
}

async function restore() {
  say("Looking for your session…");
  const answer = await refresh();
  if (answer.ok) return loadSessions();
  if (answer.data?.error === "invalid_grant") return;
  showSignedOut(isUnreachable(answer) ? `${UNREACHABLE}; reload this page to try again.` : explain(answer), "error");
}

// --- the token, taken apart

function showToken(token) {
  const [header, payload, signature] = token.split(".");
  const claims = parsed(decoded(payload)) ?? {};
  const coloured = (part, text) => element("span", `part-${part}`, text);
  const [first, second, third] = [coloured("header", header), coloured("payload", payload), coloured("signature", signature)];
  byId("token-encoded").replaceChildren(first, ".", second, ".", third);
  write({
    "token-header": pretty(decoded(header)),
    "token-payload": pretty(decoded(payload)),
    "token-signature": signature,
    "signature-about": `${Math.floor((signature.length * 3) / 4)} bytes over the two parts above`,
    "token-times": `Issued (iat) at ${clock(claims.iat)}, expires (exp) at ${clock(claims.exp)}, in your local time.`,
    account: claims.username ?? claims.sub ?? "?",
  });
}

function decoded(part) {
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
}

function pretty(text) {
  const value = parsed(text);
  return value === null ? text : JSON.stringify(value, null, 2);
}

function tick() {
  const left = Math.max(0, (expiresAt - Date.now()) / 1000);
  const state = left === 0 ? "expired" : left < lifeSeconds / 5 ? "ending" : "valid";
  const turned = byId("lifetime").dataset.state !== state;
  byId("lifetime").dataset.state = state;
  byId("remaining").value = lifeSeconds > 0 ? left / lifeSeconds : 0;
  write({ countdown: left > 0 ? `Expires in ${duration(Math.ceil(left))}` : "Expired" });
  if (turned && state === "expired") write({ "refresh-message": "", "expired-note": REFUSED });
}

async function pressRefresh() {
  const answer = await refresh();
  if (accessToken === null) return;
  const renewed = `A new access token, received at ${clock(Date.now() / 1000)}; ${COOKIE_NOTE}`;
  write({ "refresh-message": answer.ok ? renewed : explain(answer) });
  if (answer.ok) await loadSessions();
}

// --- guarded calls

async function call(event) {
  const [method, path] = event.currentTarget.dataset.call.split(" ");
  const answer = await send(method, path, { json: method === "POST" && NEW_ORDER, bearer: accessToken });
  if (accessToken === null) return;
  const challenge = answer.headers.get("WWW-Authenticate");
  write({
    "call-request": `${method} ${path}\nAuthorization: Bearer ${accessToken.slice(0, 12)}…`,
    "call-status": `${answer.status || ""} ${answer.statusText}`.trim(),
    "call-challenge": challenge ?? "",
    "call-body": pretty(answer.text) || "(empty)",
    "call-hint": isUnreachable(answer) ? explain(answer) : (HINTS[answer.status] ?? ""),
  });
  byId("call-status").dataset.ok = answer.ok;
  byId("challenge-row").hidden = challenge === null;
  byId("call-result").hidden = false;
}

// --- sessions

async function loadSessions() {
  const answer = await sendRefreshingOnce("GET", "/auth/sessions");
  if (accessToken === null) return;
  if (!answer.ok) return say(explain(answer), "error");
  const currentFirst = [...answer.data.sessions].sort((a, b) => b.current - a.current || b.last_used - a.last_used);
  byId("sessions").replaceChildren(...currentFirst.map(sessionRow));
}

function sessionRow(session) {
  const row = element("li");
  row.dataset.testid = "session";
  const name = element("p", "client", clientName(session.client));
  name.title = session.client ?? "";
  if (session.current) {
    row.dataset.current = "true";
    name.append(" ", element("span", "badge", "this one"));
  }
  const times = element("p", "note", `Logged in ${moment(session.created)}, last used ${moment(session.last_used)}`);
  const end = element("button", "quiet danger", "End");
  end.dataset.testid = "end-session";
  end.setAttribute("aria-label", `End the session ${clientName(session.client)}, logged in ${moment(session.created)}`);
  end.addEventListener("click", busy(() => endSession(session)));
  const text = element("div");
  text.append(name, times);
  row.append(text, end);
  return row;
}

async function endSession(session) {
  const answer = await sendRefreshingOnce("DELETE", `/auth/sessions/${encodeURIComponent(session.id)}`);
  if (accessToken === null) return;
  if (answer.ok && session.current) return signOut("You ended this session and are logged out.");
  if (!answer.ok && answer.status !== 404) return say(explain(answer), "error");
  say("The session was ended.");
  await loadSessions();
  byId("reload-sessions").focus({ preventScroll: true });
}

function clientName(client) {
  if (!client) return "Unknown client";
  // The order counts: Edge also says Chrome, and Chrome also says Safari; a phone says Linux or Mac OS too.
  const browser = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((name) => client.includes(`${name}/`));
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) => client.includes(name));
  const proper = { Edg: "Edge", OPR: "Opera", "Mac OS": "macOS" };
  return browser && system ? `${proper[browser] ?? browser} on ${proper[system] ?? system}` : client;
}

// --- small things

function say(text, kind = "info") {
  write({ message: text });
  byId("message").dataset.kind = kind;
}

function write(texts) {
  for (const [id, text] of Object.entries(texts)) byId(id).textContent = text;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  if (minutes < 60) return `${minutes} min ${String(rest).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// A second press while the first is under way does nothing. Not `disabled`: that would take the keyboard focus away.
function busy(action) {
  let underWay = false;
  return async (event) => {
    event.preventDefault();
    if (underWay) return;
    const pressed = event.submitter ?? event.currentTarget;
    underWay = true;
    pressed.setAttribute("aria-busy", "true");
    say("");
    await action(event);
    pressed.removeAttribute("aria-busy");
    underWay = false;
  };
}

function followOtherTabs(event) {
  if (event.key !== ATTEMPT && event.key !== null) return;
  const somebody = localStorage.getItem(ATTEMPT) !== null;
  if (!somebody && accessToken) showSignedOut("You logged out in another tab.");
  if (somebody && !accessToken) restore();
}

const buttons = { refresh: pressRefresh, logout: logOut, "logout-all": logOutEverywhere, "reload-sessions": loadSessions };
for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", busy(action));
for (const button of byId("calls").querySelectorAll("button")) button.addEventListener("click", busy(call));
byId("login-form").addEventListener("submit", busy(logIn));
addEventListener("storage", followOtherTabs);

if (localStorage.getItem(ATTEMPT)) restore();
else showSignedOut("");
