"use strict";
// The page's script: login, the list of agents, and the chat over one WebSocket that reconnects by itself.

const $ = (id) => document.getElementById(id);
const state = { mode: "login", user: null, agents: [], agent: null, chats: new Map(), socket: null, attempt: 0, queue: [], timers: {} };

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

const badge = (agent) => element("span", { class: "badge", "data-agent": agent, "aria-hidden": "true" }, icon(agent));
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

async function api(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw new Error("The server cannot be reached. Check your connection and try again.");
  }
  const data = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (response.status === 401 && state.user) leave("Your session has ended. Log in again.");
  if (!response.ok) throw new Error(data.error?.message || (response.status === 429 ? "Too many requests. Wait a moment." : `The server answered with status ${response.status}.`));
  return data;
}

/* Login and registration */
function setMode(mode) {
  const register = mode === "register";
  state.mode = mode;
  $("form-title").textContent = register ? "Create your account" : "Welcome back";
  $("form-hint").textContent = register ? "At least 10 characters for the password." : "Log in to continue your conversations.";
  $("submit").textContent = register ? "Create account" : "Log in";
  $("switch-text").textContent = register ? "Have an account?" : "New here?";
  $("switch").textContent = register ? "Log in" : "Create an account";
  $("password").autocomplete = register ? "new-password" : "current-password";
  showError("");
}

function showError(message) {
  $("form-error").textContent = message;
  $("form-error").hidden = !message;
}

function fault(username, password) {
  if (!username || !password) return "Fill in both fields.";
  if (state.mode !== "register") return "";
  if (!/^[A-Za-z0-9._-]{3,32}$/.test(username)) return "User name: 3 to 32 letters, digits, dots, dashes or underscores.";
  return password.length < 10 ? "Password: at least 10 characters." : "";
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const username = $("username").value.trim();
  const password = $("password").value;
  const problem = fault(username, password);
  if (problem) return showError(problem);
  showError("");
  $("submit").disabled = true;
  try {
    const user = await api(`/session/${state.mode}`, { username, password });
    $("password").value = "";
    await enter(user.username);
  } catch (error) {
    showError(error.message);
  } finally {
    $("submit").disabled = false;
  }
});
$("switch").addEventListener("click", () => { setMode(state.mode === "login" ? "register" : "login"); $("username").focus(); });
$("logout").addEventListener("click", async () => { await api("/session/logout", {}).catch(() => {}); leave(); });
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* the choice then lasts for this page */ }
});

function leave(message = "") {
  clearTimeout(state.timers.agents);
  clearTimeout(state.timers.socket);
  const socket = state.socket;
  Object.assign(state, { user: null, socket: null, agent: null, agents: [], queue: [], chats: new Map() });
  socket?.close();
  $("app").hidden = true;
  $("welcome").hidden = false;
  setMode("login");
  showError(message);
  $("username").focus();
}

async function enter(username) {
  state.user = username;
  $("who").textContent = username;
  $("avatar").textContent = username.slice(0, 1).toUpperCase();
  $("welcome").hidden = true;
  $("app").hidden = false;
  connect();
  await loadAgents();
}

/* Agents */
async function loadAgents() {
  clearTimeout(state.timers.agents);
  try {
    const { agents } = await api("/session/agents");
    if (!state.user) return;
    state.agents = agents;
    drawAgents();
    if (!state.agent && agents.length) await choose(agents[0].id);
    else drawHead();
  } catch (error) {
    if (!state.agents.length && state.user) $("agents").replaceChildren(element("p", { class: "muted" }, error.message));
  }
  if (!state.user) return;
  const settled = state.agents.length && state.agents.every((agent) => agent.status === "online");
  state.timers.agents = setTimeout(loadAgents, settled ? 20000 : 2500);
}

function drawAgents() {
  $("agents").replaceChildren(...state.agents.map((agent) => {
    const online = agent.status === "online";
    const button = element("button", { type: "button", class: "agent", "data-agent": agent.id, "data-status": agent.status, "aria-pressed": String(agent.id === state.agent) },
      badge(agent.id),
      element("span", {}, element("b", {}, agent.name), element("small", {}, online ? `Online, ${agent.version}` : "Offline")),
      element("span", { class: "dot", "data-state": agent.status, title: agent.status }));
    button.addEventListener("click", () => choose(agent.id));
    return button;
  }));
}

function drawHead() {
  const agent = state.agents.find(({ id }) => id === state.agent);
  if (!agent) return;
  $("head-icon").dataset.agent = agent.id;
  $("head-icon").replaceChildren(icon(agent.id));
  $("head-name").textContent = agent.name;
  $("head-about").textContent = agent.description.split(". ")[0];
  $("examples").replaceChildren(...agent.examples.map((example) => {
    const button = element("button", { type: "button", class: "example" }, example);
    button.addEventListener("click", () => ask(example));
    return button;
  }));
}

async function choose(id) {
  state.agent = id;
  drawAgents();
  drawHead();
  drawChat();
  $("text").focus();
  if (state.chats.has(id)) return;
  const chat = { session: null, messages: [] };
  state.chats.set(id, chat);
  drawChat();
  try {
    const past = await api(`/session/history/${id}`);
    chat.session ??= past.session;
    chat.messages.unshift(...past.turns.flatMap((turn) => [
      { from: "me", text: turn.question },
      { from: "agent", text: turn.answer, table: turn.table },
    ]));
  } catch { /* a conversation can start without its past */ }
  if (state.agent === id) drawChat();
}

/* Chat */
function drawTable({ columns, rows }) {
  const numeric = columns.map((_, i) => i > 0 && rows.every((row) => /^[-+$\d–]/.test(row[i]) && row[i].length < 12));
  const cells = (tag, values) => values.map((value, i) => element(tag, numeric[i] ? { class: "number" } : {}, value));
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, ...cells("th", columns))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row))))));
}

function drawMessage(message, agent) {
  const body = element("div", { class: "body" });
  if (message.waiting) body.append(element("span", { class: "typing", "aria-label": "Working" }, element("i"), element("i"), element("i")));
  else body.append(element("div", { class: "words" }, message.text));
  if (message.table) body.append(drawTable(message.table));
  if (message.ms !== undefined) body.append(element("div", { class: "meta" }, `${message.ms} ms`));
  const kind = message.from === "me" ? "mine" : `theirs${message.failed ? " failed" : ""}`;
  const attributes = { class: `message ${kind}` };
  if (message.id) attributes["data-id"] = message.id;
  if (!message.waiting && message.from !== "me") attributes["data-answer"] = agent;
  return element("article", attributes, ...(message.from === "me" ? [] : [badge(agent)]), body);
}

function drawChat() {
  const agent = state.agents.find(({ id }) => id === state.agent);
  const chat = state.chats.get(state.agent);
  if (!chat?.messages.length) {
    $("log").replaceChildren(element("div", { class: "empty" }, badge(state.agent), element("h2", {}, agent ? `Ask the ${agent.name}` : ""), element("p", {}, agent?.description || "")));
  } else {
    $("log").replaceChildren(element("div", { class: "thread" }, ...chat.messages.map((message) => drawMessage(message, state.agent))));
    $("log").scrollTop = $("log").scrollHeight;
  }
  $("send").disabled = !$("text").value.trim();
}

function ask(text) {
  const agent = state.agent;
  const chat = state.chats.get(agent);
  text = text.trim();
  if (!text || !chat) return;
  const id = newId();
  chat.session ??= newId();
  chat.messages.push({ from: "me", text }, { from: "agent", id, waiting: true });
  state.queue.push({ agent, text, id, session: chat.session });
  $("text").value = "";
  grow();
  drawChat();
  flush();
}

function settle(reply) {
  const chat = state.chats.get(reply.agent) || [...state.chats.values()].find((one) => one.messages.some(({ id }) => id === reply.id));
  const message = chat?.messages.find(({ id }) => id === reply.id);
  state.queue = state.queue.filter(({ id }) => id !== reply.id);
  if (!message?.waiting) return;
  Object.assign(message, { waiting: false, failed: reply.type === "error", text: reply.text ?? reply.message, table: reply.table, ms: reply.ms });
  drawChat();
}

$("fresh").addEventListener("click", () => {
  if (state.agent) state.chats.set(state.agent, { session: newId(), messages: [] });
  drawChat();
  $("text").focus();
});
$("ask").addEventListener("submit", (event) => { event.preventDefault(); ask($("text").value); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask($("text").value); }
});
$("text").addEventListener("input", grow);
function grow() {
  $("send").disabled = !$("text").value.trim();
  $("text").style.height = "auto";
  $("text").style.height = `${$("text").scrollHeight}px`;
}

/* WebSocket. What was asked and not answered is sent again after a reconnect: the message id makes that safe. */
function linkState(name, text) { $("link").dataset.state = name; $("link-text").textContent = text; }

function connect() {
  clearTimeout(state.timers.socket);
  linkState("connecting", "Connecting");
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  let ready = false;
  state.socket = socket;
  socket.addEventListener("message", ({ data }) => {
    const reply = JSON.parse(data);
    if (reply.type === "ready") {
      ready = true;
      state.attempt = 0;
      linkState("online", "Connected");
      $("version").textContent = reply.version;
      for (const item of state.queue) item.sent = false;
      flush();
    } else if (reply.id) settle(reply);
  });
  socket.addEventListener("close", ({ code }) => {
    if (state.socket !== socket) return;
    if (code === 4401) return leave("Your session has ended. Log in again.");
    state.attempt += 1;
    linkState(ready ? "connecting" : "offline", "Reconnecting");
    const wait = Math.min(10000, 250 * 2 ** state.attempt) * (0.7 + Math.random() * 0.6);
    state.timers.socket = setTimeout(connect, wait);
  });
}

function flush() {
  if (state.socket?.readyState !== WebSocket.OPEN || $("link").dataset.state !== "online") return;
  for (const item of state.queue) {
    if (item.sent) continue;
    item.sent = true;
    state.socket.send(JSON.stringify({ agent: item.agent, text: item.text, id: item.id, session: item.session }));
  }
}

(async () => {
  setMode("login");
  try {
    const { username } = await api("/session");
    if (username) return void (await enter(username));
  } catch (error) {
    showError(error.message);
  }
  $("welcome").hidden = false;
  $("username").focus();
})();
